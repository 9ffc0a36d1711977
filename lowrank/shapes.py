"""The parts that the chains of several kinds are put together from. Shapes only; no weights.

A grouped convolution is as many convolutions beside each other: every link has the layer's
groups, and ranks are counted over all groups together, so they are multiples of `groups`.

A transposed convolution has transposed links: what it spreads along each axis, and over channels,
it spreads one after the other. Its 1x1 links are plain ones.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from ..records import LayerSpec, Op

POINTWISE: dict[int, Op] = {1: "conv1d", 2: "conv2d", 3: "conv3d"}
"""The plain convolutions by their dimensions: 1x1 links of transposed ones are such, too."""

Ranks = tuple[int, ...]
Links = tuple[LayerSpec, ...]


def of_group(spec: LayerSpec) -> LayerSpec:
    """One of the convolutions that a grouped convolution consists of."""
    if spec.groups == 1:
        return spec
    inputs = spec.in_channels // spec.groups
    return replace(
        spec,
        in_channels=inputs,
        out_channels=spec.out_channels // spec.groups,
        input_shape=(inputs, *spec.input_shape[1:]),
        groups=1,
    )


def sides(spec: LayerSpec) -> tuple[int, int]:
    """(kh, kw): the sides of the kernel as kinds see it, whatever its number of axes.

    The first is the first axis that is longer than 1, as far as another follows it (the time of a
    video, the rows of a picture); the second is all axes behind it, one after the other.
    """
    first = _first_axes(spec)
    return math.prod(spec.kernel_size[:first]), math.prod(spec.kernel_size[first:])


def _first_axes(spec: LayerSpec) -> int:
    """How many axes are up to the end of the first side."""
    leading = 0
    while leading < spec.dimensions and spec.kernel_size[leading] == 1:
        leading += 1
    return max(1, min(leading + 1, spec.dimensions - 1))


def with_sides(spec: LayerSpec, weight: NDArray[Any]) -> NDArray[Any]:
    """A layer's weight as kinds see it: (C_out, C_in / groups, kh, kw) of a convolution."""
    return weight if spec.op == "linear" else weight.reshape(*weight.shape[:2], *sides(spec))


def reason_if_depthwise(spec: LayerSpec) -> str:
    """Why a depthwise layer cannot be projected: a group has one input channel; else empty."""
    return "depthwise convolution" if 1 < spec.groups == spec.in_channels else ""


def reason_unless_spatial(spec: LayerSpec) -> str:
    """Why the layer is nothing for kinds that need a kernel larger than 1x1; else empty."""
    if spec.op == "linear":
        return "linear layer"
    return reason_if_depthwise(spec) or ("1x1 kernel" if spec.is_pointwise else "")


def pointwise_op(spec: LayerSpec) -> Op:
    """What 1x1 links beside the layer are: plain convolutions of its dimensions, or linear."""
    return "linear" if spec.op == "linear" else POINTWISE[spec.dimensions]


def pointwise_first(spec: LayerSpec, rank: int) -> LayerSpec:
    """The 1x1 convolution C_in -> r in front of all the rest. It has no bias, so the zeros that
    the next link pads with are those of the original."""
    return LayerSpec(
        pointwise_op(spec),
        spec.in_channels,
        rank,
        spec.input_shape,
        groups=spec.groups,
        bias=False,
        dtype=spec.dtype,
    )


def pointwise_last(before: LayerSpec, spec: LayerSpec) -> LayerSpec:
    """The 1x1 convolution (or linear layer) that makes the layer's output of `before`'s."""
    return LayerSpec(
        pointwise_op(spec),
        in_channels=before.out_channels,
        out_channels=spec.out_channels,
        input_shape=before.output_shape,
        groups=spec.groups,
        bias=spec.bias,
        dtype=before.dtype,
    )


def layer_after(before: LayerSpec, spec: LayerSpec, bias: bool) -> LayerSpec:
    """The layer itself, with its kernel and geometry, on the output of `before`."""
    return replace(
        spec, in_channels=before.out_channels, input_shape=before.output_shape, bias=bias
    )


def vertical_part(spec: LayerSpec) -> LayerSpec:
    """Only what the layer does along the first side of its kernel (see `sides`), of two axes from
    top to bottom: a (kh x 1) kernel."""
    return _along(spec, range(_first_axes(spec)))


def horizontal_part(spec: LayerSpec) -> LayerSpec:
    """Only what the layer does along the second side, of two axes from left to right: a (1 x kw)
    kernel."""
    return _along(spec, range(_first_axes(spec), spec.dimensions))


def _along(spec: LayerSpec, axes: range) -> LayerSpec:
    """The layer with its kernel and geometry along these axes only."""

    def kept(name: str, otherwise: int) -> tuple[int, ...]:
        numbers = enumerate(getattr(spec, name))
        return tuple(n if i % spec.dimensions in axes else otherwise for i, n in numbers)

    return replace(
        spec,
        kernel_size=kept("kernel_size", 1),
        stride=kept("stride", 1),
        padding=kept("padding", 0),
        dilation=kept("dilation", 1),
        output_padding=kept("output_padding", 0),
    )
