"""Networks and calibrations on their way to a worker: by hash, once a machine, whole or not at all.

The service says which files a job needs and which hash each has; the worker says which of them it
lacks; those go over in pieces. Files are named after what is in them and never change, so a file
that is there need not be compared. What describes them is small and goes along with each job; the
list of a network's layers is not, and nobody asks a worker for it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from ..errors import UsageError
from ..jobs.artifacts import ArtifactStore, CalibrationEntry, NetworkEntry

PIECE_BYTES = 8 << 20
PLACES = ("networks", "calibrations")


@dataclass(frozen=True, slots=True)
class File:
    """A file of the artifacts: its place among them, what it holds, how long it is."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """All that a job needs: what describes its network and its calibration, and their files."""

    networks: Sequence[Mapping[str, Any]] = ()
    calibrations: Sequence[Mapping[str, Any]] = ()
    files: Sequence[File] = ()

    @classmethod
    def of(
        cls,
        artifacts: ArtifactStore,
        networks: Sequence[NetworkEntry],
        calibrations: Sequence[CalibrationEntry],
    ) -> Parcel:
        places = [*(one.file for one in networks), *(one.file for one in calibrations)]
        files = [file for place in places for file in _files(artifacts.folder, place)]
        return cls(list(map(_described, networks)), [asdict(c) for c in calibrations], files)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Parcel:
        files = [File(**one) for one in document["files"]]
        return cls(document["networks"], document["calibrations"], files)


def lacking(artifacts: ArtifactStore, parcel: Parcel) -> list[File]:
    """The parcel's files that are not here yet. If all are, what describes them is put down."""
    missing = [file for file in parcel.files if not _is_there(artifacts.folder, file)]
    if not missing:
        for network in parcel.networks:
            _keep(artifacts, NetworkEntry.from_json(network))
        for calibration in parcel.calibrations:
            artifacts.put(CalibrationEntry(**cast("Any", calibration)))
    return missing


def _described(network: NetworkEntry) -> dict[str, Any]:
    """That there are layers, but not which: they stay where they were read."""
    return asdict(replace(network, layers=_there(network.layers), graph=_there(network.graph)))


def _there(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if document is None else {}


def _keep(artifacts: ArtifactStore, network: NetworkEntry) -> None:
    """Put it down, unless it is here: a worker may see the service's own artifacts, where its
    layers are."""
    try:
        known = artifacts.network(network.id)
    except UsageError:
        known = None
    if known is None or _described(known) != _described(network):
        artifacts.put(network)


def pieces(folder: Path, file: File) -> Iterator[str]:
    """The file as texts for `put_piece`, one after the other; an empty file has one, too."""
    with (folder / file.path).open("rb") as stream:
        for offset in range(0, max(file.bytes, 1), PIECE_BYTES):
            data = base64.b64encode(stream.read(PIECE_BYTES)).decode()
            yield json.dumps({"file": asdict(file), "offset": offset, "data": data})


def put_piece(artifacts: ArtifactStore, text: str) -> None:
    """Write one piece; with the last one the file gets its name, if its hash is right. Raises
    `OSError` (a disk that is full), and `UsageError` for what is not what it should be."""
    document = json.loads(text)
    file, offset = File(**document["file"]), document["offset"]
    target = _target(artifacts.folder, file)
    partial = artifacts.folder / "incoming" / f"{file.sha256}.part"
    if _is_there(artifacts.folder, file):
        return
    try:
        with partial.open("r+b" if offset else "wb") as stream:
            stream.seek(offset)
            stream.write(base64.b64decode(document["data"]))
            end = stream.tell()
    except OSError:
        partial.unlink(missing_ok=True)  # else a disk that it has filled stays full
        raise
    if end < file.bytes:
        return
    if _sha256(partial) != file.sha256:
        partial.unlink()
        raise UsageError(f"{file.path} did not arrive as it was sent; it is sent again")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)


def _files(folder: Path, place: str | None) -> list[File]:
    """What lies at a place of the artifacts: a file, or a folder of pictures."""
    if place is None:
        return []
    path = folder / place
    found = sorted(p for p in path.iterdir()) if path.is_dir() else [path]
    stats = [(one, one.stat()) for one in found]
    return [
        File(
            one.relative_to(folder).as_posix(),
            _known_sha256(one, about.st_mtime_ns, about.st_size),
            about.st_size,
        )
        for one, about in stats
    ]


@lru_cache(maxsize=100_000)
def _known_sha256(path: Path, _changed_ns: int, _bytes: int) -> str:
    """The hash of a file that has not changed since it was computed last."""
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_there(folder: Path, file: File) -> bool:
    target = _target(folder, file)
    return target.is_file() and target.stat().st_size == file.bytes


def _target(folder: Path, file: File) -> Path:
    """Where a file goes; never out of the artifacts."""
    parts = Path(file.path).parts
    if parts[0] not in PLACES or ".." in parts or not file.sha256.isalnum():
        raise UsageError(f"{file.path!r} is no place of a network or a calibration")
    return folder / file.path
