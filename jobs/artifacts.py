"""What was given to a service to work on: networks, calibration pictures, applied networks.

Everything lies in one folder beside the store, under names made of content hashes; what the
user called a file is kept as a text to show, and never becomes a path. Beside each thing
lies a JSON document that says what it is, written last: a thing without one is not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..db.url import companion
from ..errors import UsageError
from ..files import write_text

NetworkFormat = Literal["zoo", "onnx", "safetensors"]
ZOO_NAMES = (
    *("mobilenet_v2", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50"),
    *("vgg16", "vgg16_bn"),
)
"""The zoo's networks, named without loading torch; a test compares."""


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """A network that jobs may use. `id` is its SHA-256, or its name in the zoo.

    `sha256`, `input_shape`, `layers` (a `rankwise.layers` document) and `graph` (how its layers
    follow one another) of a zoo network are None until it was described once; `graph` is empty
    where the order cannot be read. `file` is relative to the artifacts. `inputs` are those that
    whoever gave it described: (name, shape, type or empty).
    """

    id: str
    name: str
    format: NetworkFormat
    architecture: str | None
    file: str | None
    bytes: int
    added_at: str | None
    sha256: str | None
    input_shape: tuple[int, ...] | None
    layers: Mapping[str, Any] | None
    inputs: tuple[tuple[str, tuple[int, ...], str], ...] = ()
    graph: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> NetworkEntry:
        shape = document["input_shape"]
        inputs = [(name, tuple(sizes), dtype) for name, sizes, dtype in document.get("inputs", ())]
        kept = {"input_shape": None if shape is None else tuple(shape), "inputs": tuple(inputs)}
        return cls(**{**document, **kept})

    @property
    def model(self) -> str:
        """What verbs take as MODEL, in the artifacts's folder."""
        return self.file if self.format == "onnx" and self.file else self.architecture or self.id

    @property
    def weights(self) -> Path | None:
        return Path(self.file) if self.format == "safetensors" and self.file else None


@dataclass(frozen=True, slots=True)
class CalibrationEntry:
    """Calibration pictures (a folder) or ready tensors (an `.npz`). `id` is the SHA-256 of
    what was uploaded; `count` is of files, or of rows."""

    id: str
    name: str
    kind: Literal["pictures", "tensors"]
    file: str
    count: int
    bytes: int
    added_at: str


@dataclass(frozen=True, slots=True)
class AppliedEntry:
    """A compressed network. `id` names the plan, the network and the format."""

    id: str
    plan: str
    format: str
    file: str
    sha256: str
    bytes: int
    added_at: str


Entry = TypeVar("Entry", NetworkEntry, CalibrationEntry, AppliedEntry)


class ArtifactStore:
    """The folder. Methods raise `UsageError` for what is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("networks", "calibrations", "applied", "incoming", "logs"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    @classmethod
    def beside(cls, db: str) -> ArtifactStore:
        """The artifacts of a store."""
        return cls(companion(db, ".service").absolute())

    def networks(self) -> list[NetworkEntry]:
        """The zoo's first, then what was uploaded, the newest first."""
        uploaded = map(NetworkEntry.from_json, self._documents("networks"))
        entries = {entry.id: entry for entry in uploaded}
        zoo = [entries.pop(name, _zoo_entry(name)) for name in ZOO_NAMES]
        return [*zoo, *_newest_first(entries.values())]

    def network(self, network_id: str) -> NetworkEntry:
        document = self._document("networks", network_id)
        if document is not None:
            return NetworkEntry.from_json(document)
        if network_id in ZOO_NAMES:
            return _zoo_entry(network_id)
        raise UsageError(f"there is no network {network_id[:64]!r} here: upload it first")

    def calibrations(self) -> list[CalibrationEntry]:
        """Pictures and tensors, the newest first."""
        return _newest_first(CalibrationEntry(**d) for d in self._documents("calibrations"))

    def calibration(self, calibration_id: str) -> CalibrationEntry:
        document = self._document("calibrations", calibration_id)
        if document is None:
            raise UsageError(f"there is no calibration {calibration_id[:64]!r} here: upload it")
        return CalibrationEntry(**document)

    def applied(self) -> list[AppliedEntry]:
        """Compressed networks, the newest first."""
        return _newest_first(AppliedEntry(**d) for d in self._documents("applied"))

    def applied_one(self, applied_id: str) -> AppliedEntry:
        document = self._document("applied", applied_id)
        if document is None:
            raise UsageError(f"there is no applied network {applied_id[:64]!r} here")
        return AppliedEntry(**document)

    def put(self, entry: NetworkEntry | CalibrationEntry | AppliedEntry) -> None:
        """Write the document that makes a thing be there."""
        write_text(self._place(entry) / f"{entry.id}.json", json.dumps(asdict(entry)))

    def remove(self, entry: NetworkEntry | CalibrationEntry | AppliedEntry) -> None:
        """Take a thing away: its document first."""
        (self._place(entry) / f"{entry.id}.json").unlink(missing_ok=True)
        if entry.file is None:
            return
        target = self.folder / entry.file
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    def clean(self) -> None:
        """Drop what an upload that was cut off has left."""
        shutil.rmtree(self.folder / "incoming", ignore_errors=True)
        (self.folder / "incoming").mkdir(exist_ok=True)

    def used_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def _place(self, entry: NetworkEntry | CalibrationEntry | AppliedEntry) -> Path:
        kinds = {NetworkEntry: "networks", CalibrationEntry: "calibrations"}
        return self.folder / kinds.get(type(entry), "applied")

    def _documents(self, place: str) -> Iterator[dict[str, Any]]:
        for path in sorted((self.folder / place).glob("*.json")):
            yield json.loads(path.read_text(encoding="utf-8"))

    def _document(self, place: str, name: str) -> dict[str, Any] | None:
        if not is_plain(name):
            return None
        path = self.folder / place / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _newest_first(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.added_at or "", entry.id), reverse=True)


def is_plain(name: str) -> bool:
    """Whether a name that came over the network can be nothing but a name."""
    return 0 < len(name) <= 160 and name.isascii() and name.replace("_", "").isalnum()


def _zoo_entry(name: str) -> NetworkEntry:
    return NetworkEntry(name, name, "zoo", name, None, 0, None, None, None, None)
