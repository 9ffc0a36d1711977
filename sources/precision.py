"""Modules in half precision, which are read in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..errors import ModelError

HALF = (torch.float16, torch.bfloat16)


def half_of(module: nn.Module) -> torch.dtype | None:
    """The half precision that all of the module's floating parameters have; None for others."""
    types = {one.dtype for one in module.parameters() if one.is_floating_point()}
    return types.pop() if len(types) == 1 and types <= set(HALF) else None


def in_float32(module: nn.Module, runs: Callable[[], object]) -> tuple[nn.Module, tuple[str, ...]]:
    """Return the module with weights in float32 if they are in half precision, which changes it,
    and a note that says so. One that `runs` on float32 inputs as it is turns them into its own
    precision by itself, and stays; where it does not, `runs` raises `ModelError`."""
    half = half_of(module)
    if half is None or _does(runs):
        return module, ()
    name = str(half).removeprefix("torch.")
    return module.float(), (f"its weights are {name} and were read in float32",)


def _does(runs: Callable[[], object]) -> bool:
    try:
        with torch.no_grad():
            runs()
    except ModelError:
        return False
    return True
