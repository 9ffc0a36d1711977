"""Modules in half precision, which are read in float32."""

from __future__ import annotations

import torch
from torch import nn

HALF = (torch.float16, torch.bfloat16)


def half_of(module: nn.Module) -> torch.dtype | None:
    """The half precision that all of the module's floating parameters have; None for others."""
    types = {one.dtype for one in module.parameters() if one.is_floating_point()}
    return types.pop() if len(types) == 1 and types <= set(HALF) else None


def in_float32(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Return the module with weights in float32 if they are in half precision, which changes it,
    and a note that says so."""
    half = half_of(module)
    if half is None:
        return module, ()
    name = str(half).removeprefix("torch.")
    return module.float(), (f"its weights are {name} and were read in float32",)
