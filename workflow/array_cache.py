"""A folder of arrays too large for the store, each file named by the hash of what it is of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import StoreError
from ..records import content_key

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ArrayCache:
    """Files are written whole or not at all, and what cannot be read counts as not there: any
    of them may be deleted at any time, and is made again."""

    folder: Path

    def path(self, what: str, of: object) -> Path:
        """The file of these arrays; `of` is JSON that names all that they depend on."""
        return self.folder / f"{what}-{content_key(of)}.safetensors"

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

        try:
            return dict(load_file(self.path(what, of)))
        except (OSError, SafetensorError):
            return None

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
