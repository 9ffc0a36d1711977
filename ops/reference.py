"""A chain by its definition, in NumPy: the oracle that writers and backends are held against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import LayerSpec
from .chain import Chain, LinkWeights

Float64 = NDArray[np.float64]


def reference(chain: Chain, weights: Sequence[LinkWeights], inputs: NDArray[Any]) -> Float64:
    """The chain's output in float64: slow, plain, and shared with no writer or runtime.

    `inputs` is (batch, *chain.input_shape); the result (batch, *chain.output_shape).
    """
    values = inputs.astype(np.float64)
    for link, one in zip(chain.links, weights, strict=True):
        values = _computed(link, one.weight.astype(np.float64), values)
        if one.bias is not None:
            values = values + one.bias.reshape(-1, *[1] * link.dimensions)
    return values


def _computed(link: LayerSpec, weight: Float64, values: Float64) -> Float64:
    if link.op == "linear":
        return values @ weight.T
    compute = _spread if link.is_transposed else _gathered
    grouped = values.reshape(len(values), link.groups, -1, *link.input_shape[1:])
    total = compute(link, weight.reshape(link.groups, -1, *weight.shape[1:]), grouped)
    return total.reshape(len(values), *link.output_shape)


def _gathered(link: LayerSpec, taps: Float64, values: Float64) -> Float64:
    """Cross-correlation: for every tap of the kernel, the part of the input that it sees.

    `taps` are (groups, outputs, inputs, *kernel), `values` (batch, groups, inputs, ...)."""
    padded = np.pad(values, ((0, 0), (0, 0), (0, 0), *link.padding_by_axis))
    total = np.zeros((*values.shape[:2], taps.shape[1], *link.output_shape[1:]))
    for tap in np.ndindex(*link.kernel_size):
        seen = padded[_seen(link, tap, link.output_shape[1:])]
        total += np.einsum("goc,ngc...->ngo...", taps[(..., *tap)], seen)
    return total


def _spread(link: LayerSpec, taps: Float64, values: Float64) -> Float64:
    """The transpose of that: for every tap, the part of the output that it adds to; then the
    padding is cut off."""
    padding = link.padding_by_axis
    whole = [size + sum(cut) for size, cut in zip(link.output_shape[1:], padding, strict=True)]
    total = np.zeros((*values.shape[:2], taps.shape[1], *whole))
    for tap in np.ndindex(*link.kernel_size):
        reached = total[_seen(link, tap, link.input_shape[1:])]
        reached += np.einsum("goc,ngc...->ngo...", taps[(..., *tap)], values)
    kept: Float64 = total[
        _places(slice(b, n - e) for n, (b, e) in zip(whole, padding, strict=True))
    ]
    return kept


def _seen(link: LayerSpec, tap: tuple[int, ...], counts: tuple[int, ...]) -> Any:
    """Where a tap meets so many positions, on the side that is padded."""
    geometry = zip(tap, link.dilation, link.stride, counts, strict=True)
    return _places(
        slice(place * dilation, place * dilation + stride * (count - 1) + 1, stride)
        for place, dilation, stride, count in geometry
    )


def _places(slices: Iterable[slice]) -> Any:
    """An index of the last axes."""
    return (..., *slices)
