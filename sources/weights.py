"""Weights put into a module, by the names that they have without what was wrapped around it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import dropwhile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import ModelError, first_line
from .checkpoint import State

WRAPPERS = ("module", "_orig_mod")
"""What `DataParallel` and `torch.compile` put into names, at the front or further inside."""
PREFIXES = (*WRAPPERS, "model")
"""What stands in front of all names: also what training scripts call the module that they train."""
COUNTERS = ("num_batches_tracked", "n_averaged")
"""What only training reads, by the end of its name: old files lack one, averages add the other."""


def load_state(module: nn.Module, state: State, path: Path) -> None:
    """Put all of `state` into the module, in the types that the module has.

    Names may have prefixes (see `PREFIXES`) that the module's have not, or the other way round:
    they are compared as they are, then without prefixes, then without wrappers inside them.
    Raises `ModelError` that says what does not fit; the module is of no use then.
    """
    own = module.state_dict()
    tensors = min(_renamed(state.tensors, own), key=lambda one: _misfits(one, own))
    shapes = [n for n in tensors if n in own and not _takes(own[n], tensors[n])]
    missing, strange = ([], []) if shapes else _load(module, tensors, path)
    problems = {
        "missing": [n for n in missing if not _is_known(n, own, tensors)],
        "unknown": [n for n in strange if not n.endswith(COUNTERS)],
        "of another shape or type": shapes,
    }
    said = [
        f"{len(names)} {what} ({names[0]}{', ...' if len(names) > 1 else ''})"
        for what, names in problems.items()
        if names
    ]
    if said:
        raise ModelError(f"the weights in {path} are for another network: {', '.join(said)}")


def _load(
    module: nn.Module, tensors: Mapping[str, Tensor], path: Path
) -> tuple[list[str], list[str]]:
    """The names that torch missed, and those that it did not know. It knows how to read names of
    earlier versions (weight norm), so it is the one to ask."""
    without_numbers = any(one.is_meta for one in module.parameters())
    try:
        found = module.load_state_dict(dict(tensors), strict=False, assign=without_numbers)
    except Exception as error:  # of a module's own hooks, too
        raise ModelError(f"the weights in {path} do not fit: {first_line(error)}") from error
    return list(found.missing_keys), list(found.unexpected_keys)


def _renamed(tensors: Mapping[str, Tensor], own: Collection[str]) -> Iterator[dict[str, Tensor]]:
    """The tensors by the names that they may have in the module, the likeliest first."""
    for bare in (str, _without_prefixes, _without_wrappers):
        names = {bare(name): name for name in own}
        renamed = {names.get(bare(name), name): tensor for name, tensor in tensors.items()}
        if len(names) == len(own) and len(renamed) == len(tensors):
            yield renamed


def _without_prefixes(name: str) -> str:
    parts = name.split(".")
    return ".".join(dropwhile(PREFIXES.__contains__, parts[:-1])) + f".{parts[-1]}"


def _without_wrappers(name: str) -> str:
    return _without_prefixes(".".join(part for part in name.split(".") if part not in WRAPPERS))


def _misfits(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> int:
    return len(tensors.keys() ^ own.keys())


def _takes(own: Tensor, given: Tensor) -> bool:
    """Whether the number of numbers is right, and they are not the codes of a quantised tensor."""
    if not isinstance(own, Tensor) or nn.parameter.is_lazy(own):
        return True
    return own.shape == given.shape and (
        given.is_floating_point() or not own.is_floating_point() or own.is_quantized
    )


def _is_known(name: str, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> bool:
    """Whether a missing tensor is one that training alone reads, or the same as another (tied
    weights are written once)."""
    places = {_place(one) for other, one in own.items() if other in tensors}
    return name.endswith(COUNTERS) or (name in own and _place(own[name]) in places - {0})


def _place(value: Any) -> int:
    """Where the tensor's numbers are; 0 where there are none."""
    plain = isinstance(value, Tensor) and not nn.parameter.is_lazy(value)
    return int(value.data_ptr()) if plain else 0
