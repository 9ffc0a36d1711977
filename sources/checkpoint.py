"""Weights from files, in ways that run no code."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError, first_line

AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "ema")
"""Keys under which training scripts put the average of the weights over the training."""
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "params")
"""Keys under which they put the weights themselves."""
PICKLES = (".pth", ".pt", ".bin", ".ckpt")
INDEX = ".index.json"
"""How the name of a file ends that says which of several files holds which tensor."""


@dataclass(frozen=True, slots=True)
class State:
    """Tensors by name, and what the reader should know of where they were found."""

    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def read_state(path: Path) -> State:
    """Read a `.safetensors` file, a pickle (`.pth`, `.pt`, `.bin`, `.ckpt`) of plain tensors, or
    the `.index.json` of several.

    Of a pickle that holds the weights and their average, the average is taken, as it is the one
    that is used when training is over. Raises `ModelError` for anything else; objects in a pickle
    are refused, never built.
    """
    path = Path(path)
    if path.suffix == ".pt2":
        raise ModelError(
            f"{path} is not read, because reading a .pt2 file can run code: give its weights as "
            ".safetensors"
        )
    if path.is_dir():
        raise ModelError(f"{path} is a folder: give the weights file in it, or its {INDEX} file")
    if not path.is_file():
        raise ModelError(f"there is no weights file {path}")
    if path.name.endswith(INDEX):
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return State(_read_safetensors(path))
    if path.suffix in PICKLES:
        return _unwrapped(_read_pickle(path), path)
    raise ModelError(f"{path} is no weights file: use .safetensors, or .pth with plain tensors")


def _read_shards(path: Path) -> State:
    """The tensors that an index names, each from its file beside the index."""
    try:
        places = dict(json.loads(path.read_text(encoding="utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is no index of weights: it has no weight_map") from error
    tensors: dict[str, Tensor] = {}
    notes: tuple[str, ...] = ()
    for name in sorted(set(map(str, places.values()))):
        if Path(name).name != name or name.endswith(INDEX):
            raise ModelError(f"{path} names {name!r}, which is no weights file beside it")
        shard = read_state(path.with_name(name))
        tensors |= shard.tensors
        notes += shard.notes
    if absent := [name for name in places if name not in tensors]:
        raise ModelError(f"{path} names {len(absent)} tensors that no file has ({absent[0]}, ...)")
    return State({name: tensors[name] for name in places}, notes)


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


def _unwrapped(value: Any, path: Path) -> State:
    """The state dict inside what a training script has saved."""
    notes: tuple[str, ...] = ()
    while keys := _keys_of_states(value):
        if keys[0] in AVERAGES and keys[-1] in WRAPPERS:
            notes = (
                f"{path.name} holds weights ({keys[-1]}) and their average ({keys[0]}): the "
                "average was taken",
            )
        value = value[keys[0]]
    if not isinstance(value, Mapping) or not value:
        raise ModelError(f"{path} holds no state dict of tensors")
    for name, one in value.items():
        if not isinstance(one, Tensor):
            kind = type(one).__name__
            raise ModelError(f"{path} holds no state dict of tensors: {name!r} is of type {kind}")
    return State({str(name): tensor for name, tensor in value.items()}, notes)


def _keys_of_states(value: Any) -> list[str]:
    """The known keys of `value` under which there are tensors, the one to take first."""
    known = value if isinstance(value, Mapping) else {}
    return [key for key in (*AVERAGES, *WRAPPERS) if _holds_tensors(known.get(key))]


def _holds_tensors(value: Any) -> bool:
    """Whether it is a state dict, or holds one: settings may have such a key, too."""
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(one, Tensor) for one in value.values()) or bool(_keys_of_states(value))
