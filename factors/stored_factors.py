"""A layer's factors, and what they are made from, as arrays with names for the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..lowrank.shrinkage import Shrinkage
from ..ops.chain import LinkWeights


def to_arrays(links: Sequence[LinkWeights]) -> dict[str, NDArray[Any]]:
    """Return the links' weights and biases, numbered by their place in the chain."""
    weights = {f"weight{number}": link.weight for number, link in enumerate(links)}
    biases = {f"bias{n}": link.bias for n, link in enumerate(links) if link.bias is not None}
    return weights | biases


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[LinkWeights, ...]:
    """Return the links whose arrays `to_arrays` made."""
    count = sum(name.startswith("weight") for name in arrays)
    return tuple(LinkWeights(arrays[f"weight{n}"], arrays.get(f"bias{n}")) for n in range(count))


def to_array(shrinkage: Shrinkage) -> NDArray[np.float64]:
    """Return the shrinkage of inputs and outputs; not a number where a side is left out."""
    sides = (shrinkage.inputs, shrinkage.outputs)
    return np.array([np.nan if side is None else side for side in sides])


def from_array(array: NDArray[np.float64]) -> Shrinkage:
    """Return the shrinkage whose array `to_array` made."""
    return Shrinkage(*(None if np.isnan(side) else float(side) for side in array))
