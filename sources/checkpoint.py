"""Weights from files, in ways that run no code."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError, first_line

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts put the state."""
PREFIX = "module."
"""The prefix that `DataParallel` puts before every name."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a `.safetensors` file, or a pickle (`.pth`, `.pt`, `.bin`, `.ckpt`) of plain tensors.

    Raises `ModelError` for anything else; objects in a pickle are refused, never built.
    """
    path = Path(path)
    if path.suffix == ".pt2":
        raise ModelError(
            f"{path} is not read, because reading a .pt2 file can run code: give its weights as "
            ".safetensors"
        )
    if not path.is_file():
        raise ModelError(f"there is no weights file {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in (".pth", ".pt", ".bin", ".ckpt"):
        return _unwrapped(_read_pickle(path), path)
    raise ModelError(f"{path} is no weights file: use .safetensors, or .pth with plain tensors")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is no safetensors file: {first_line(error)}") from error


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        # torch.load has no exception of its own: bad files raise whatever the reader meets.
        raise ModelError(
            f"{path} was not read: it is damaged, or holds more than plain tensors, and building "
            "other objects could run code; save its state_dict() alone"
        ) from error


def _unwrapped(value: Any, path: Path) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    if not isinstance(value, Mapping) or not all(isinstance(t, Tensor) for t in value.values()):
        raise ModelError(f"{path} holds no state dict of tensors")
    state = {str(name): tensor for name, tensor in value.items()}
    if state and all(name.startswith(PREFIX) for name in state):
        return {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    return state


def load_state(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Put all of `state` into the module; `ModelError` says what does not fit."""
    own = module.state_dict()
    # Old checkpoints lack BatchNorm's counter, which inference never reads.
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    strange = [n for n in state if n not in own]
    shapes = [n for n in state if n in own and state[n].shape != own[n].shape]
    problems = [
        f"{len(names)} {what} ({names[0]}{', ...' if len(names) > 1 else ''})"
        for names, what in (
            (missing, "missing"),
            (strange, "unknown"),
            (shapes, "of another shape"),
        )
        if names
    ]
    if problems:
        raise ModelError(f"the weights in {path} are for another network: {', '.join(problems)}")
    module.load_state_dict(dict(state), strict=False)
