"""What each kind turns a layer into: why it may not apply, its full ranks, its links.

Shapes only; no weights. Sources: svd and channel_svd, Zhang et al., TPAMI 2016; spatial_svd,
Jaderberg et al., BMVC 2014; tucker2, Kim et al., ICLR 2016.
"""

from __future__ import annotations

from dataclasses import replace

from ..records import LayerSpec

Ranks = tuple[int, ...]
Links = tuple[LayerSpec, ...]


def _grouped(spec: LayerSpec) -> str:
    if spec.groups == 1:
        return ""
    return "depthwise convolution" if spec.groups == spec.in_channels else "grouped convolution"


def _is_pointwise(spec: LayerSpec) -> bool:
    return spec.kernel_size == (1, 1)


def original_applies(spec: LayerSpec) -> str:
    return ""


def original_full_ranks(spec: LayerSpec) -> Ranks:
    return ()


def original_links(spec: LayerSpec, ranks: Ranks) -> Links:
    return (spec,)


def svd_applies(spec: LayerSpec) -> str:
    if spec.op == "linear" or _is_pointwise(spec):
        return _grouped(spec)
    return _grouped(spec) or "kernel larger than 1x1"


def channel_svd_applies(spec: LayerSpec) -> str:
    """The reason for every kind that needs a kernel larger than 1x1."""
    if spec.op == "linear":
        return "linear layer"
    return _grouped(spec) or ("1x1 kernel" if _is_pointwise(spec) else "")


def spatial_svd_applies(spec: LayerSpec) -> str:
    flat = 1 in spec.kernel_size
    return channel_svd_applies(spec) or ("kernel with a single row or column" if flat else "")


def projection_full_ranks(spec: LayerSpec) -> Ranks:
    """svd, channel_svd: the rank of the C_out x (C_in*kh*kw) unfolding."""
    kh, kw = spec.kernel_size
    return (min(spec.out_channels, spec.in_channels * kh * kw),)


def projection_links(spec: LayerSpec, ranks: Ranks) -> Links:
    """svd, channel_svd: the layer with r outputs, then 1x1 (or linear) r -> C_out.

    Stride, padding and dilation stay on the first, so the second has the fewest positions
    and never sees a padded zero that the first did not see.
    """
    (rank,) = ranks
    first = replace(spec, out_channels=rank, bias=False)
    return first, _pointwise(first, spec.out_channels, spec.bias)


def _pointwise(before: LayerSpec, out_channels: int, bias: bool) -> LayerSpec:
    """The 1x1 convolution (or linear layer) that takes the output of `before`."""
    return LayerSpec(
        op=before.op,
        in_channels=before.out_channels,
        out_channels=out_channels,
        input_shape=before.output_shape,
        bias=bias,
        dtype=before.dtype,
    )


def spatial_svd_full_ranks(spec: LayerSpec) -> Ranks:
    kh, kw = spec.kernel_size
    return (min(spec.in_channels * kh, spec.out_channels * kw),)


def spatial_svd_links(spec: LayerSpec, ranks: Ranks) -> Links:
    """(kh x 1) C_in -> r with all that is vertical, then (1 x kw) r -> C_out with the rest."""
    (rank,) = ranks
    kh, kw = spec.kernel_size
    top, left, bottom, right = spec.padding
    first = replace(
        spec,
        out_channels=rank,
        kernel_size=(kh, 1),
        stride=(spec.stride[0], 1),
        padding=(top, 0, bottom, 0),
        dilation=(spec.dilation[0], 1),
        bias=False,
    )
    second = replace(
        spec,
        in_channels=rank,
        input_shape=first.output_shape,
        kernel_size=(1, kw),
        stride=(1, spec.stride[1]),
        padding=(0, left, 0, right),
        dilation=(1, spec.dilation[1]),
    )
    return first, second


def tucker2_full_ranks(spec: LayerSpec) -> Ranks:
    """(r_in, r_out): the ranks of the C_in x rest and the C_out x rest unfoldings."""
    kh, kw = spec.kernel_size
    return (
        min(spec.in_channels, spec.out_channels * kh * kw),
        min(spec.out_channels, spec.in_channels * kh * kw),
    )


def tucker2_links(spec: LayerSpec, ranks: Ranks) -> Links:
    """1x1 C_in -> r_in, the k x k core, 1x1 r_out -> C_out.

    The first has no bias, so the zeros that the core pads with are those of the original.
    """
    rank_in, rank_out = ranks
    first = LayerSpec(
        "conv2d", spec.in_channels, rank_in, spec.input_shape, bias=False, dtype=spec.dtype
    )
    core = replace(
        spec,
        in_channels=rank_in,
        out_channels=rank_out,
        input_shape=first.output_shape,
        bias=False,
    )
    return first, core, _pointwise(core, spec.out_channels, spec.bias)
