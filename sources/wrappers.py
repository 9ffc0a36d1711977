"""Modules that stand around the user's own: taken off, or refused by name."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from torch import nn

from ..errors import ModelError

WRAPPED_AT = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
}
"""The attribute under which torch's wrappers, by class name, hold the module that they are for."""
REFUSED = {
    "ScriptModule": "whose layers cannot be seen from outside",
    "ExportedProgram": "in which layers are no modules any more",
    "FullyShardedDataParallel": "which holds parts of the weights",
}
"""Classes of torch's by name, each with the reason in a phrase that follows it."""


def bare(module: Any) -> Any:
    """Return what is inside torch's wrappers (`torch.compile`, `DataParallel`, ...), if anything.

    Raises `ModelError` for torch's classes in which no layer can be replaced.
    """
    _check(module, "the network")
    while (kind := _kind(module, WRAPPED_AT)) is not None:
        module = getattr(module, WRAPPED_AT[kind])
        _check(module, "the network")
    return module


def unwrapped(module: nn.Module) -> nn.Module:
    """Return `bare(module)` without the wrappers around its parts, which changes it."""
    module = bare(module)
    for name, part in list(module.named_modules()):
        _check(part, f"its part {name!r}")
        for own, child in list(part.named_children()):
            if _kind(child, WRAPPED_AT) is not None:
                setattr(part, own, unwrapped(child))
    return module


def _check(module: Any, what: str) -> None:
    kind = _kind(module, REFUSED)
    if kind is not None:
        raise ModelError(
            f"{what} is a torch {kind}, {REFUSED[kind]}: give the torch.nn.Module that it was made "
            "from, or an .onnx file"
        )


def _kind(module: Any, names: Container[str]) -> str | None:
    """Return the first of the module's classes that is torch's and named so."""
    classes = (one for one in type(module).__mro__ if one.__module__.split(".")[0] == "torch")
    return next((one.__name__ for one in classes if one.__name__ in names), None)
