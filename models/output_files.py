"""Checks of the files that a command is to write, before hours of work."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from .network import Network

NETWORKS = (".onnx", ".safetensors", ".pt2")


def check_output(output: Path, *inputs: object, suffixes: tuple[str, ...] = ()) -> None:
    """Raises `UsageError` where the file cannot be written, or would take an input's place.

    `inputs` that are no files (zoo names, modules, None) are no matter. `suffixes`: those that
    are known, where not every one is.
    """
    output = Path(output)
    if suffixes and output.suffix not in suffixes:
        raise UsageError(f"cannot write {output.name}: use {', '.join(suffixes)}")
    folder = output.resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {output}: there is no such folder, or it is protected")
    if output.is_dir():
        raise UsageError(f"cannot write {output}: it is a folder")
    for one in inputs:
        if isinstance(one, str | Path) and output.exists() and _same(output, Path(one)):
            raise UsageError(f"cannot write {output}: it is what is read; choose another file")


def _same(output: Path, other: Path) -> bool:
    try:
        return output.samefile(other)
    except OSError:
        return False


def check_savable(network: Network, output: Path) -> None:
    """Try an export at once, so that a network that cannot be exported is refused early."""
    if output.suffix in (".safetensors", f".{network.framework}"):
        return
    with TemporaryDirectory() as folder:
        network.save(Path(folder) / output.name)
