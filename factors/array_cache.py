"""A folder of arrays too large for the store, each file named by the hash of what it is of."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import StoreError
from ..records import content_key

Arrays = Mapping[str, NDArray[Any]]

SUFFIX = ".safetensors"
MAX_BYTES = {"factors": 2**30}
"""Of files of a sort that every plan adds to. Moments and curves are as many as a network has
layers; an error is a few bytes."""


@dataclass(frozen=True, slots=True)
class ArrayCache:
    """Files are written whole or not at all, and what cannot be read counts as not there: any
    of them may be deleted at any time, and is made again. A file's time is that of its last use.
    """

    folder: Path

    def path(self, what: str, of: object) -> Path:
        """The file of these arrays; `of` is JSON that names all that they depend on."""
        return self.folder / f"{what}-{content_key(of)}{SUFFIX}"

    def has(self, what: str, of: object) -> bool:
        """Whether the file is there, and as long as its header says."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path(what, of), framework="numpy"):
                return True
        except (OSError, SafetensorError):
            return False

    def read(self, what: str, of: object) -> dict[str, NDArray[Any]] | None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.path(what, of)
        try:
            arrays = dict(load_file(path))
        except (OSError, SafetensorError):
            return None
        with suppress(OSError):  # a folder that cannot be written to can be read
            os.utime(path)
        return arrays

    def write(self, what: str, of: object, arrays: Arrays) -> None:
        """Raises `StoreError` where the folder cannot be written to."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        path = self.path(what, of)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(dict(arrays), temporary)
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            # A disk that is full shows as one or the other.
            raise StoreError(
                f"{self.folder} cannot be written to ({error}): make room there, or keep the "
                "store elsewhere with --db"
            ) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def trim(self) -> None:
        """Delete what was not used for longest of the sorts that `MAX_BYTES` limits."""
        for what, limit in MAX_BYTES.items():
            room = float(limit)
            for path, age_s in sorted(self._files(f"{what}-*"), key=lambda found: found[1]):
                room -= _size(path)
                if room < 0 and age_s > 0:
                    path.unlink(missing_ok=True)

    def unused(self, longer_than_s: float) -> list[Path]:
        """Files that nobody has used for so long."""
        return [path for path, age_s in self._files("*-*") if age_s > longer_than_s]

    def _files(self, pattern: str) -> Iterable[tuple[Path, float]]:
        """Each with the seconds since it was used last; what is deleted meanwhile is left out."""
        now = time.time()
        for path in self.folder.glob(pattern + SUFFIX):
            with suppress(OSError):
                yield path, now - path.stat().st_mtime


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
