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
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from ..errors import StoreError
from ..files import atomic_write
from ..records import content_key

Arrays = Mapping[str, NDArray[Any]]

SUFFIX = ".safetensors"
MAX_BYTES = {"factors": 2**30}
"""Room for files of a sort that every plan adds to. Moments and curves are as many as a network has
layers; an error is a few bytes."""


@dataclass(frozen=True, slots=True)
class ArrayCache:
    """Files are written whole or not at all, and what cannot be read counts as not there: any
    of them may be deleted at any time, and is made again. A file's time is that of its last use.
    """

    folder: Path

    def path(self, what: str, of: object) -> Path:
        """Return the path of these arrays' file; `of` is JSON that names all that they depend
        on."""
        return self.folder / f"{what}-{content_key(of)}{SUFFIX}"

    def has(self, what: str, of: object) -> bool:
        """Whether the file is there, and as long as its header says."""
        try:
            with safe_open(self.path(what, of), framework="numpy"):
                return True
        except (OSError, SafetensorError):
            return False

    def read(self, what: str, of: object) -> dict[str, NDArray[Any]] | None:
        """Return the arrays, or None where there are none that can be read."""
        path = self.path(what, of)
        try:
            arrays = dict(load_file(path))
        except (OSError, SafetensorError):
            return None
        with suppress(OSError):  # a folder that cannot be written to can be read
            os.utime(path)
        return arrays

    def write(self, what: str, of: object, arrays: Arrays) -> None:
        """Keep the arrays; raise `StoreError` where the folder cannot be written to."""
        path = self.path(what, of)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                save_file(dict(arrays), temporary)
        except (OSError, SafetensorError) as error:
            # A disk that is full shows as one or the other.
            raise StoreError(
                f"{self.folder} cannot be written to ({error}): make room there, or keep the "
                "store elsewhere with --db"
            ) from error

    def trim(self) -> None:
        """Delete what was not used for longest of the sorts that `MAX_BYTES` limits."""
        for what, limit in MAX_BYTES.items():
            room, now = limit, time.time()
            for path, status in sorted(self._files(f"{what}-*"), key=lambda one: -one[1].st_mtime):
                room -= status.st_size
                if room < 0 and status.st_mtime < now:
                    path.unlink(missing_ok=True)

    def unused(self, longer_than_s: float) -> list[Path]:
        """Return the files that nobody has used for so long."""
        before = time.time() - longer_than_s
        return [path for path, status in self._files("*-*") if status.st_mtime < before]

    def _files(self, pattern: str) -> Iterable[tuple[Path, os.stat_result]]:
        """Yield files with their size and last use; what is deleted meanwhile is left out."""
        for path in self.folder.glob(pattern + SUFFIX):
            with suppress(OSError):
                yield path, path.stat()
