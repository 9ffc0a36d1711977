"""Layers that are no module: parameters that a network multiplies with in functional calls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from ..records import LayerUse
from .products import Products

REASON = "used in a functional call"
OPS = {3: "conv1d", 4: "conv2d", 5: "conv3d"}
"""What a weight with so many axes belongs to; one with fewer to a linear layer."""


def with_functional_layers(
    uses: Sequence[LayerUse], module: nn.Module, layers: Iterable[nn.Module], products: Products
) -> tuple[LayerUse, ...]:
    """Return the uses with the parameters that products were made with outside of all `layers`, by
    their names, where the network first uses them."""
    inside = {id(one) for layer in layers for one in layer.parameters()}
    parts = dict(module.named_modules(remove_duplicate=False))
    placed = [(_first_use(parts[use.name].parameters(), products), use) for use in uses]
    for name, parameter in module.named_parameters():
        first = _first_use([parameter], products)
        if first < math.inf and id(parameter) not in inside:
            later = (number for number, (other, _) in enumerate(placed) if other > first)
            use = LayerUse(name, _op(parameter, products), None, REASON)
            placed.insert(next(later, len(placed)), (first, use))
    return tuple(use for _, use in placed)


def _first_use(parameters: Iterable[Tensor], products: Products) -> float:
    """When one of the parameters was first a weight; infinity if none was."""
    found = [products.first_use(one) for one in parameters]
    return min((number for number in found if number is not None), default=math.inf)


def _op(parameter: Tensor, products: Products) -> str:
    convolved = products.convolved(parameter)
    return OPS.get(parameter.dim(), "linear") if convolved else "linear"
