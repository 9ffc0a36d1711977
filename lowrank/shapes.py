"""What each kind turns a layer into: why it may not apply, its full ranks, its links.

Shapes only; no weights. Sources: svd and channel_svd, Zhang et al., TPAMI 2016; spatial_svd,
Jaderberg et al., BMVC 2014; tucker2, Kim et al., ICLR 2016; branched_tucker, arXiv 2407.20266;
cp, Lebedev et al., ICLR 2015.

A grouped convolution is as many convolutions beside each other: every link has the layer's
groups, and ranks are counted over all groups together, so they are multiples of `groups`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..records import LayerSpec

Ranks = tuple[int, ...]
Links = tuple[LayerSpec, ...]


def layer_groups(spec: LayerSpec) -> int:
    """What ranks are multiples of: each of the layer's groups has as many."""
    return spec.groups


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


def _depthwise(spec: LayerSpec) -> str:
    """One input channel a group leaves nothing to project: a reason for every kind."""
    return "depthwise convolution" if 1 < spec.groups == spec.in_channels else ""


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
        return _depthwise(spec)
    return _depthwise(spec) or "kernel larger than 1x1"


def spatial_applies(spec: LayerSpec) -> str:
    """The reason for every kind that needs a kernel larger than 1x1."""
    if spec.op == "linear":
        return "linear layer"
    return _depthwise(spec) or ("1x1 kernel" if _is_pointwise(spec) else "")


def spatial_svd_applies(spec: LayerSpec) -> str:
    flat = 1 in spec.kernel_size
    return spatial_applies(spec) or ("kernel with a single row or column" if flat else "")


def branched_tucker_applies(spec: LayerSpec) -> str:
    return spatial_applies(spec) or ("grouped convolution" if spec.groups > 1 else "")


def projection_full_ranks(spec: LayerSpec) -> Ranks:
    """svd, channel_svd: the rank of the C_out x (C_in*kh*kw) unfolding."""
    kh, kw = spec.kernel_size
    one = of_group(spec)
    return (spec.groups * min(one.out_channels, one.in_channels * kh * kw),)


def projection_links(spec: LayerSpec, ranks: Ranks) -> Links:
    """svd, channel_svd: the layer with r outputs, then 1x1 (or linear) r -> C_out.

    Stride, padding and dilation stay on the first, so the second has the fewest positions
    and never sees a padded zero that the first did not see.
    """
    (rank,) = ranks
    first = replace(spec, out_channels=rank, bias=False)
    return first, _pointwise(first, spec.out_channels, spec.bias, spec.groups)


def _pointwise(before: LayerSpec, out_channels: int, bias: bool, groups: int) -> LayerSpec:
    """The 1x1 convolution (or linear layer) that takes the output of `before`."""
    return LayerSpec(
        op=before.op,
        in_channels=before.out_channels,
        out_channels=out_channels,
        input_shape=before.output_shape,
        groups=groups,
        bias=bias,
        dtype=before.dtype,
    )


def _entry(spec: LayerSpec, rank: int) -> LayerSpec:
    """1x1 C_in -> r in front of all the rest. It has no bias, so the zeros that the next link
    pads with are those of the original."""
    return LayerSpec(
        "conv2d",
        spec.in_channels,
        rank,
        spec.input_shape,
        groups=spec.groups,
        bias=False,
        dtype=spec.dtype,
    )


def _spread(before: LayerSpec, spec: LayerSpec, bias: bool) -> LayerSpec:
    """The layer itself, with its kernel and geometry, on the output of `before`."""
    return replace(
        spec, in_channels=before.out_channels, input_shape=before.output_shape, bias=bias
    )


def _vertical(spec: LayerSpec) -> LayerSpec:
    """Only what the layer does from top to bottom: a (kh x 1) kernel."""
    top, _, bottom, _ = spec.padding
    return replace(
        spec,
        kernel_size=(spec.kernel_size[0], 1),
        stride=(spec.stride[0], 1),
        padding=(top, 0, bottom, 0),
        dilation=(spec.dilation[0], 1),
    )


def _horizontal(spec: LayerSpec) -> LayerSpec:
    """Only what the layer does from left to right: a (1 x kw) kernel."""
    _, left, _, right = spec.padding
    return replace(
        spec,
        kernel_size=(1, spec.kernel_size[1]),
        stride=(1, spec.stride[1]),
        padding=(0, left, 0, right),
        dilation=(1, spec.dilation[1]),
    )


def input_svd_full_ranks(spec: LayerSpec) -> Ranks:
    """The rank of the C_in x (C_out*kh*kw) unfolding."""
    kh, kw = spec.kernel_size
    one = of_group(spec)
    return (spec.groups * min(one.in_channels, one.out_channels * kh * kw),)


def input_svd_links(spec: LayerSpec, ranks: Ranks) -> Links:
    """1x1 C_in -> r, then the layer with r inputs: the mirror of channel_svd."""
    first = _entry(spec, ranks[0])
    return first, _spread(first, spec, spec.bias)


def spatial_svd_full_ranks(spec: LayerSpec) -> Ranks:
    kh, kw = spec.kernel_size
    one = of_group(spec)
    return (spec.groups * min(one.in_channels * kh, one.out_channels * kw),)


def spatial_svd_links(spec: LayerSpec, ranks: Ranks) -> Links:
    """(kh x 1) C_in -> r with all that is vertical, then (1 x kw) r -> C_out with the rest."""
    first = replace(_vertical(spec), out_channels=ranks[0], bias=False)
    return first, _spread(first, _horizontal(spec), spec.bias)


def tucker2_full_ranks(spec: LayerSpec) -> Ranks:
    """(r_in, r_out): the ranks of the C_in x rest and the C_out x rest unfoldings."""
    return (*input_svd_full_ranks(spec), *projection_full_ranks(spec))


def tucker2_links(spec: LayerSpec, ranks: Ranks) -> Links:
    """1x1 C_in -> r_in, the k x k core, 1x1 r_out -> C_out."""
    rank_in, rank_out = ranks
    first = _entry(spec, rank_in)
    core = replace(_spread(first, spec, bias=False), out_channels=rank_out)
    return first, core, _pointwise(core, spec.out_channels, spec.bias, spec.groups)


def branched_full_ranks(branches: int, spec: LayerSpec) -> Ranks:
    """A branch is a Tucker-2 of its own, with ranks up to Tucker-2's."""
    rank_in, rank_out = tucker2_full_ranks(spec)
    return branches * rank_in, branches * rank_out


def branched_tucker_links(branches: int, spec: LayerSpec, ranks: Ranks) -> Links:
    """As tucker2, with a core of as many groups as there are branches."""
    first, core, last = tucker2_links(spec, ranks)
    return first, replace(core, groups=branches), last


def branch_step(branches: int, spec: LayerSpec) -> int:
    """What ranks are multiples of: each branch has as many."""
    return branches


def cp_full_ranks(spec: LayerSpec) -> Ranks:
    """As many terms as the kernel's positions have singular values together."""
    kh, kw = spec.kernel_size
    one = of_group(spec)
    return (spec.groups * min(one.in_channels, one.out_channels) * kh * kw,)


def cp_links(spec: LayerSpec, ranks: Ranks) -> Links:
    """1x1 C_in -> r, (kh x 1) and (1 x kw) depthwise, 1x1 r -> C_out.

    A kernel with one row or column needs one depthwise link, which has the whole geometry.
    """
    (rank,) = ranks
    first = _entry(spec, rank)
    depthwise = partial(replace, out_channels=rank, groups=rank, bias=False)
    if 1 in spec.kernel_size:
        middle = [depthwise(_spread(first, spec, False))]
    else:
        column = depthwise(_spread(first, _vertical(spec), False))
        middle = [column, depthwise(_spread(column, _horizontal(spec), False))]
    return (first, *middle, _pointwise(middle[-1], spec.out_channels, spec.bias, spec.groups))
