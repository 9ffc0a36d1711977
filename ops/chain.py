"""A chain: the plain convolutions or linear layers that compute a layer one after the other.

A primitive operator *is* a `LayerSpec`: what a chain is made of can itself be profiled,
written and counted like any layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..records import LayerSpec, content_key

Stretch = tuple[int, int]
"""Links of a chain that follow each other: the first one's number, and that behind the last."""


@dataclass(frozen=True, slots=True)
class LinkWeights:
    """Weights of one link: `weight` has `LayerSpec.weight_shape`, `bias` (out_channels,)."""

    weight: NDArray[Any]
    bias: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """One or more links; each takes the output of the one before it.

    Raises `LayerError` when shapes do not follow from one link to the next.
    """

    links: tuple[LayerSpec, ...]

    def __post_init__(self) -> None:
        if not self.links:
            raise LayerError("a chain needs at least one link")
        for before, after in zip(self.links, self.links[1:], strict=False):
            if before.output_shape != after.input_shape:
                raise LayerError(
                    f"links do not fit: {before.output_shape} is followed by {after.input_shape}"
                )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One example's input, without the batch."""
        return self.links[0].input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.links[-1].output_shape

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one example."""
        return sum(link.macs for link in self.links)

    @property
    def params(self) -> int:
        return sum(link.params for link in self.links)

    @property
    def key(self) -> str:
        return content_key(self.to_json())

    def bytes_moved(self, batch: int = 1, element_bytes: int = 4) -> int:
        """Least traffic: every link reads its input and weights and writes its output once."""
        return element_bytes * sum(
            batch * (_size(link.input_shape) + _size(link.output_shape)) + link.params
            for link in self.links
        )

    def to_json(self) -> list[dict[str, Any]]:
        return [link.to_json() for link in self.links]

    @classmethod
    def from_json(cls, document: list[Mapping[str, Any]]) -> Self:
        return cls(tuple(LayerSpec.from_json(link) for link in document))


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def require_weights(chain: Chain, weights: Sequence[LinkWeights]) -> None:
    """`LayerError` unless there is one `LinkWeights` of the right shapes for each link."""
    if len(weights) != len(chain.links):
        raise LayerError(f"{len(chain.links)} links need as many weights, not {len(weights)}")
    for link, one in zip(chain.links, weights, strict=True):
        _require_fit(link, one)


def _require_fit(link: LayerSpec, weights: LinkWeights) -> None:
    found = tuple(weights.weight.shape)
    if found != link.weight_shape:
        raise LayerError(f"a link needs a weight {link.weight_shape}, not {found}")
    if (weights.bias is not None) != link.bias:
        raise LayerError("a link's bias and its weights' bias must both be there, or neither")
    if weights.bias is not None and weights.bias.shape != (link.out_channels,):
        raise LayerError(f"a link needs {link.out_channels} biases, not {weights.bias.shape}")


def random_weights(chain: Chain, seed: int = 0) -> tuple[LinkWeights, ...]:
    """Float32 weights that keep unit variance through the chain, so that nothing overflows
    or turns denormal (denormals would be timed, too)."""
    rng = np.random.default_rng(seed)
    return tuple(_random_link(link, rng) for link in chain.links)


def _random_link(link: LayerSpec, rng: np.random.Generator) -> LinkWeights:
    # An output of a transposed convolution meets one in so many of the kernel's values.
    apart = math.prod(link.stride) if link.is_transposed else 1
    fan_in = max(_size(link.weight_shape[1:]) / apart, 1.0)
    weight = rng.standard_normal(link.weight_shape, dtype=np.float32) / np.float32(fan_in**0.5)
    bias = rng.standard_normal(link.out_channels, dtype=np.float32) * np.float32(0.1)
    return LinkWeights(weight, bias if link.bias else None)
