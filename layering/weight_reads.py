"""Which layers' weights a network uses beside calling the layer: these cannot be replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from ..ops.operator_calls import OperatorCalls

SHAPE_ALONE = (
    *("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"),
    *("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"),
)
"""Operators that ask their first argument for its shape and type alone."""


class WeightReads(OperatorCalls):
    """Notes, while a module runs, the layers whose parameters are computed with elsewhere.

    They are told by their memory: a transposed weight, or what `.data` gives, is the same numbers.
    A parameter that another module holds too (tied weights) may be used by that one.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self._computing = [one for one in layers if "weight" in vars(one)]
        self._owners: dict[int, list[tuple[range, nn.Module]]] = {}
        for layer in layers:
            for parameter in filter(_has_memory, _own_parameters(layer)):
                owners = self._owners.setdefault(_storage(parameter), [])
                owners.append((memory(parameter), layer))
        self.found: set[nn.Module] = set()

    def called(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func.overloadpacket.__name__ not in SHAPE_ALONE:
            for given in pytree.tree_leaves((args, kwargs)):
                if isinstance(given, Tensor) and _has_memory(given):
                    self._note(given)
        return func(*args, **kwargs)

    def _note(self, given: Tensor) -> None:
        owners = self._owners_of(given)
        if owners and not any(owner in self.running for _, owner in owners):
            self.found.update(owner for where, owner in owners if not self._holds(where))

    def _owners_of(self, given: Tensor) -> list[tuple[range, nn.Module]]:
        """The layers that have these numbers, or a part of them, as a parameter, or as the weight
        that their hooks compute; and where in memory that begins and ends."""
        address = given.data_ptr()
        known = self._owners.get(_storage(given), ())
        computed = ((memory(vars(one)["weight"]), one) for one in self._computing)
        return [one for one in (*known, *computed) if address in one[0]]

    def _holds(self, where: range) -> bool:
        """Whether the module that runs now has that parameter itself."""
        own = self.running[-1].parameters(recurse=False) if self.running else ()
        return any(one.data_ptr() in where for one in own)


def memory(tensor: Tensor) -> range:
    """Return the addresses at which a part of the tensor may begin."""
    first = tensor.data_ptr()
    return range(first, first + tensor.numel() * tensor.element_size())


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _has_memory(tensor: Tensor) -> bool:
    """Whether the tensor's numbers lie at an address of their own."""
    return tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_meta


def _own_parameters(layer: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the layer's parameters, and those that its own are computed from."""
    yield from layer.parameters(recurse=False)
    if parametrize.is_parametrized(layer):
        yield from layer.parametrizations.parameters()  # type: ignore[union-attr]
