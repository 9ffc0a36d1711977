"""The portable file: JSON Lines in a zip, and a manifest with the hash of each member.

    manifest.json    what the file is, who wrote it, and (SHA-256, bytes, lines) of each member
    NAME.jsonl       one JSON document a line

Files of format 1 may also hold `cache/SHA256.safetensors`, and lines of kinds that are gone:
these are checked like all else, and left alone. Nothing is taken from a file before all of its
hashes were compared. No name in it becomes a path.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..clock import now
from ..errors import StoreError
from ..files import atomic_write
from ..records import canonical_json
from ..version import __version__

FORMAT = "rankwise.store"
FORMAT_VERSION = 3
MANIFEST = "manifest.json"
MAX_LINE_BYTES = 2**26
"""A session's line has some 20 bytes a sample; a longer one is no session."""
MAX_MANIFEST_BYTES = 2**26
LEVEL = 3
"""Of deflate. Times are digits without a pattern: higher levels take longer and gain nothing."""
_MEMBER = re.compile(r"[a-z_]+\.jsonl|cache/[0-9a-f]{64}\.safetensors")


class Writer:
    """Writes members one after the other, and the manifest at its end."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members: dict[str, dict[str, Any]] = {}

    def lines(self, name: str, documents: Iterable[Mapping[str, Any]]) -> int:
        """Write `NAME.jsonl`; return how many lines it has."""
        digest, size, count = hashlib.sha256(), 0, 0
        member = f"{name}.jsonl"
        with self._archive.open(member, "w", force_zip64=True) as file:
            for document in documents:
                line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
                digest.update(line)
                size, count = size + len(line), count + 1
                file.write(line)
        self._members[member] = {"sha256": digest.hexdigest(), "bytes": size, "lines": count}
        return count

    def finish(self, schema: str) -> None:
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "rankwise_version": __version__,
            "schema": schema,
            "host": platform.node(),
            "exported_at": now(),
            "members": self._members,
        }
        text = json.dumps({**manifest, "sha256": manifest_hash(manifest)}, indent=2)
        self._archive.writestr(MANIFEST, text)


@contextmanager
def writing(target: Path) -> Iterator[Writer]:
    """Open an archive for writing, which appears under its name when it is whole, or not at all."""
    if target.exists():
        raise StoreError(f"{target} exists; name another file, or delete it first")
    try:
        with (
            atomic_write(target) as part,
            zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive,
        ):
            yield Writer(archive)
    except OSError as error:
        raise StoreError(f"{target} cannot be written ({error.strerror or error})") from error


def manifest_hash(manifest: Mapping[str, Any]) -> str:
    """The hash of a manifest's content, without the hash itself."""
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


@dataclass(slots=True)
class Reader:
    """An archive whose hashes all agree with its manifest."""

    path: Path
    archive: zipfile.ZipFile
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        return str(self.manifest["sha256"])

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of `NAME.jsonl`; none where there is no such member."""
        member = f"{name}.jsonl"
        if member not in self.manifest["members"]:
            return
        with self.archive.open(member) as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                if len(line) > MAX_LINE_BYTES:
                    raise self.refused(f"a line of {name} is too long")
                yield line

    def refused(self, reason: str) -> StoreError:
        return StoreError(f"{self.path} was refused and nothing of it imported: {reason}")

    def verify(self) -> Self:
        """Compare everything with the manifest. Raises `StoreError` at the first difference."""
        self.manifest = self._manifest()
        members = self.manifest["members"]
        names = self.archive.namelist()
        if len(set(names)) != len(names) or {*names} != {*members, MANIFEST}:
            raise self.refused("its members are not those that its manifest names")
        for name, said in members.items():
            self._verify_member(name, said)
        return self

    def _manifest(self) -> dict[str, Any]:
        try:
            with self.archive.open(MANIFEST) as file:
                manifest = json.loads(file.read(MAX_MANIFEST_BYTES))
            version, texts = manifest["format_version"], ("host", "exported_at", "rankwise_version")
            is_good = (
                manifest["format"] == FORMAT
                and manifest["sha256"] == manifest_hash(manifest)
                and all(isinstance(manifest[name], str) for name in texts)
                and isinstance(manifest["members"], dict)
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            version, is_good = FORMAT_VERSION, False
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise self.refused(f"its format {version!r} is newer than this rankwise; upgrade it")
        if not is_good:
            raise self.refused("it has no manifest of rankwise, or a damaged one")
        return dict(manifest)

    def _verify_member(self, name: str, said: Any) -> None:
        if not _MEMBER.fullmatch(name) or not isinstance(said, dict):
            raise self.refused(f"it has a member that is not ours ({name!r:.80})")
        if (said.get("sha256"), said.get("bytes")) != _digest(self.archive, name):
            raise self.refused(f"{name} is damaged")


def _digest(archive: zipfile.ZipFile, name: str) -> tuple[str, int]:
    with archive.open(name) as file:
        digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # it has readinto
        return digest.hexdigest(), file.tell()


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open an archive and verify it. Raises `StoreError` for a file that is damaged or not ours."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield Reader(path, archive).verify()
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise StoreError(
            f"{path} was refused and nothing of it imported: it is no zip file, or damaged "
            f"({' '.join(str(error).split()):.80})"
        ) from error
