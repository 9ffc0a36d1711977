"""The parts that the chains of several kinds are put together from. Shapes only; no weights.

A grouped convolution is as many convolutions beside each other: every link has the layer's
groups, and ranks are counted over all groups together, so they are multiples of `groups`.
"""

from __future__ import annotations

from dataclasses import replace

from ..records import LayerSpec

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


def is_pointwise(spec: LayerSpec) -> bool:
    """Whether the layer sees one position at a time: a linear layer or a 1x1 kernel."""
    return spec.kernel_size == (1, 1)


def reason_if_depthwise(spec: LayerSpec) -> str:
    """Why a depthwise layer cannot be projected: a group has one input channel; else empty."""
    return "depthwise convolution" if 1 < spec.groups == spec.in_channels else ""


def reason_unless_spatial(spec: LayerSpec) -> str:
    """Why the layer is nothing for kinds that need a kernel larger than 1x1; else empty."""
    if spec.op == "linear":
        return "linear layer"
    return reason_if_depthwise(spec) or ("1x1 kernel" if is_pointwise(spec) else "")


def pointwise_first(spec: LayerSpec, rank: int) -> LayerSpec:
    """The 1x1 convolution C_in -> r in front of all the rest. It has no bias, so the zeros that
    the next link pads with are those of the original."""
    return LayerSpec(
        "conv2d",
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
        op=before.op,
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
    """Only what the layer does from top to bottom: a (kh x 1) kernel."""
    top, _, bottom, _ = spec.padding
    return replace(
        spec,
        kernel_size=(spec.kernel_size[0], 1),
        stride=(spec.stride[0], 1),
        padding=(top, 0, bottom, 0),
        dilation=(spec.dilation[0], 1),
    )


def horizontal_part(spec: LayerSpec) -> LayerSpec:
    """Only what the layer does from left to right: a (1 x kw) kernel."""
    _, left, _, right = spec.padding
    return replace(
        spec,
        kernel_size=(1, spec.kernel_size[1]),
        stride=(1, spec.stride[1]),
        padding=(0, left, 0, right),
        dilation=(1, spec.dilation[1]),
    )
