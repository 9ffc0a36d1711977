"""The state of a training run in one file: tensors and, in its header, JSON. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from ..errors import UsageError
from ..models.files import write_whole

VERSION = 2
HEADER = "rankwise"


def write(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Whole or not at all. `notes` is anything that JSON can hold."""
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header = {HEADER: json.dumps({"version": VERSION, **notes})}
    write_whole(path, lambda target: save_file(copies, target, metadata=header))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Raises `UsageError` with one sentence if there is no such checkpoint, or it is damaged."""
    if not path.is_file():
        raise UsageError(f"there is no checkpoint {path} to resume from: leave --resume out")
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {})[HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UsageError(f"{path} is no checkpoint of a training run, or a damaged one") from error
    if notes.get("version") != VERSION:
        raise UsageError(f"{path} was written by another version of rankwise: start again")
    return tensors, notes


def pack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put the tensors under a prefix, so that several parts fit into one file."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def unpack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under a prefix, by the names that they had."""
    start = f"{prefix}/"
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The moments and counters of every parameter, by its place in the groups."""
    state = optimizer.state_dict()["state"]
    return {f"{place}/{key}": value for place, one in state.items() for key, value in one.items()}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimiser what `optimizer_tensors` took from one."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place, _, key = name.partition("/")
        state.setdefault(int(place), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
