"""A chain by its definition, in NumPy: the oracle that writers and backends are held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import LayerSpec
from .chain import Chain, LinkWeights


def reference(
    chain: Chain, weights: Sequence[LinkWeights], inputs: NDArray[Any]
) -> NDArray[np.float64]:
    """The chain's output in float64: slow, plain, and shared with no writer or runtime.

    `inputs` is (batch, *chain.input_shape); the result (batch, *chain.output_shape).
    """
    values = inputs.astype(np.float64)
    for link, one in zip(chain.links, weights, strict=True):
        weight = one.weight.astype(np.float64)
        values = values @ weight.T if link.op == "linear" else _convolved(link, weight, values)
        if one.bias is not None:
            behind = () if link.op == "linear" else (1, 1)
            values = values + one.bias.reshape(-1, *behind)
    return values


def _convolved(
    link: LayerSpec, weight: NDArray[np.float64], images: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cross-correlation: for every tap of the kernel, the picture that it sees."""
    top, left, bottom, right = link.padding
    padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)))
    grouped = padded.reshape(len(images), link.groups, -1, *padded.shape[2:])
    taps = weight.reshape(link.groups, -1, *weight.shape[1:])
    _, height, width = link.output_shape
    total = np.zeros((len(images), link.groups, taps.shape[1], height, width))
    for y, x in np.ndindex(*link.kernel_size):
        rows = _seen(y * link.dilation[0], link.stride[0], height)
        columns = _seen(x * link.dilation[1], link.stride[1], width)
        seen = grouped[:, :, :, rows, columns]
        total += np.einsum("goc,ngchw->ngohw", taps[:, :, :, y, x], seen)
    return total.reshape(len(images), *link.output_shape)


def _seen(start: int, stride: int, count: int) -> slice:
    return slice(start, start + stride * (count - 1) + 1, stride)
