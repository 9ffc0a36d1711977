"""A layer's factors as arrays with names, for the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

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
