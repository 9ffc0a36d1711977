"""What the kernel of a convolution sees at its output positions."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import LayerSpec

Indices = NDArray[np.intp]


def patch_rows(spec: LayerSpec, values: NDArray[Any], most: int) -> NDArray[np.float32]:
    """Return patches as (positions, C_in * kernel), at most `most` positions of each picture, in
    the order of the weight's axes; `values` are (pictures, C_in, ...).

    The layer's output is their product with its weight (C_out, C_in * kernel), transposed layers
    included: there a patch has zeros where the stride leaves the kernel without an input.
    """
    axes = spec.dimensions
    chosen = positions(math.prod(spec.output_shape[1:]), most)
    places = np.unravel_index(chosen, spec.output_shape[1:])
    # A zero behind each axis is what a kernel sees that reaches beyond the picture.
    padded = np.pad(values, ((0, 0), (0, 0), *[(0, 1)] * axes))
    reach = (_reach(spec, axis, place) for axis, place in enumerate(places))
    index: tuple[Any, ...] = (slice(None), *reach)
    # Channels last, so that each index takes a run of memory; turned once at the end.
    seen = np.ascontiguousarray(np.moveaxis(padded, 1, -1))[index]
    turned = np.moveaxis(seen, -1, 2).reshape(-1, math.prod(spec.weight_shape[1:]) * spec.groups)
    return np.ascontiguousarray(turned, dtype=np.float32)


def _reach(spec: LayerSpec, axis: int, places: Indices) -> Indices:
    """Return the input that each tap sees along one axis, for output places (positions,), as
    (positions, ..., taps, ...), the taps on their axis. The input's size stands for none."""
    size, stride = spec.input_shape[1 + axis], spec.stride[axis]
    begin = spec.padding_by_axis[axis][0]
    taps = np.arange(spec.kernel_size[axis]) * spec.dilation[axis]
    if spec.is_transposed:  # tap t of input i adds to place i * stride - begin + t
        spread = places[:, None] + begin - taps
        seen, there = spread // stride, spread % stride == 0
    else:
        seen, there = places[:, None] * stride - begin + taps, np.array(True)
    found = np.where(there & (seen >= 0) & (seen < size), seen, size)
    others = tuple(1 + one for one in range(spec.dimensions) if one != axis)
    result: Indices = np.expand_dims(found, others)
    return result


@cache
def positions(count: int, most: int) -> Indices:
    """Return which of a picture's positions count: always the same ones."""
    chosen = np.random.default_rng(0).permutation(count)[:most]
    return np.sort(chosen)
