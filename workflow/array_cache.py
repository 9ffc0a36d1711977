"""A folder of arrays too large for the store, each file named by the hash of what it is of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

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
        return self.path(what, of).exists()

    def read(self, what: str, of: object) -> dict[str, NDArray[Any]] | None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return dict(load_file(self.path(what, of)))
        except (OSError, SafetensorError):
            return None

    def write(self, what: str, of: object, arrays: Arrays) -> None:
        from safetensors.numpy import save_file

        path = self.path(what, of)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            save_file(dict(arrays), temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
