"""input_svd: 1x1 C_in -> r, then the k x k layer with r inputs: the mirror of channel_svd.

The weight is projected on r orthonormal directions V of the input channels, `W ~ (W V) V^T` for
each position of the kernel: the first link is `V^T`, the last `W V`. With moments of the patches it
is what loses least of the output (see `alternating`).
"""

from __future__ import annotations

import math

from ...records import LayerSpec
from ..algebra import Matrix
from ..alternating import AlternatingFit, alternating_fit
from ..grouped import by_group, each_group
from ..kinds import Arrays, Float64, Kind
from ..moments import Moments
from ..projection import Projection, project
from ..shapes import Links, Ranks, layer_after, of_group, pointwise_first, reason_unless_spatial
from ..views import View


def full_ranks(spec: LayerSpec) -> Ranks:
    """The rank of the C_in x (C_out*kh*kw) unfolding."""
    one = of_group(spec)
    return (spec.groups * min(one.in_channels, one.out_channels * math.prod(spec.kernel_size)),)


def _links(spec: LayerSpec, ranks: Ranks) -> Links:
    first = pointwise_first(spec, ranks[0])
    return first, layer_after(first, spec, spec.bias)


def _unfold(_spec: LayerSpec, weight: Float64) -> tuple[Matrix, ...]:
    """C_in x (C_out*kh*kw)."""
    return (weight.transpose(1, 0, 2, 3).reshape(weight.shape[1], -1),)


def _factorize(
    spec: LayerSpec, weight: Float64, moments: Moments | None, shrinkage: float | None
) -> Projection | AlternatingFit:
    c_out, c_in, kh, kw = weight.shape

    def fold(coordinates: Matrix, basis: Matrix) -> Arrays:
        core = coordinates.reshape(-1, c_out, kh, kw).transpose(1, 0, 2, 3)
        return basis.T[:, :, None, None], core

    def fold_two(first: Matrix, core: Matrix, _last: Matrix | None) -> Arrays:
        return first[:, :, None, None], core.reshape(c_out, -1, kh, kw)

    if moments is None or not moments.count:
        return project(_unfold(spec, weight)[0], fold)
    view = View(c_in, kh * kw, False, fold_two)
    return alternating_fit(spec, weight, view, full_ranks(spec), moments, shrinkage)


INPUT_SVD = Kind(
    "input_svd",
    reason_unless_spatial,
    full_ranks,
    _links,
    each_group(_unfold),
    by_group(_factorize),
    moments="patches",
)
