"""Networks' files, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import ModelError, UsageError
from ..files import atomic_write


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file, then put it at `path` in one step.

    Raises `ModelError` with one sentence if the folder cannot be written or the disk is full;
    whatever was at `path` before stays.
    """
    path = Path(path)
    try:
        with atomic_write(path) as temporary:
            write(temporary)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def write_by_suffix(
    path: Path,
    to_onnx: Callable[[Path], Path],
    to_pt2: Callable[[Path], Path],
    to_tensors: Callable[[Path], Path],
) -> Path:
    """Write a network as .onnx, .pt2 or .safetensors. Raises `UsageError` for another suffix."""
    path = Path(path)
    match path.suffix:
        case ".onnx":
            return to_onnx(path)
        case ".pt2":
            return to_pt2(path)
        case ".safetensors":
            return to_tensors(path)
    raise UsageError(f"cannot write {path.name}: use .onnx, .pt2 or .safetensors")
