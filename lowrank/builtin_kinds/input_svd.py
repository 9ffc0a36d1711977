"""input_svd: 1x1 C_in -> r, then the k x k layer with r inputs: the mirror of channel_svd.

The weight is projected on r orthonormal directions V of the input channels, `W ~ (W V) V^T` for
each position of the kernel: the first link is `V^T`, the last `W V`. From the weights alone:
moments of outputs do not determine the input's directions.
"""

from __future__ import annotations

from ...records import LayerSpec
from ..algebra import Matrix
from ..grouped import by_group, each_group
from ..kinds import Arrays, Float64, Kind
from ..moments import Moments
from ..projection import Projection, project
from ..shapes import Links, Ranks, layer_after, of_group, pointwise_first, reason_unless_spatial


def full_ranks(spec: LayerSpec) -> Ranks:
    """The rank of the C_in x (C_out*kh*kw) unfolding."""
    kh, kw = spec.kernel_size
    one = of_group(spec)
    return (spec.groups * min(one.in_channels, one.out_channels * kh * kw),)


def _links(spec: LayerSpec, ranks: Ranks) -> Links:
    first = pointwise_first(spec, ranks[0])
    return first, layer_after(first, spec, spec.bias)


def _unfold(_spec: LayerSpec, weight: Float64) -> tuple[Matrix, ...]:
    """C_in x (C_out*kh*kw)."""
    return (weight.transpose(1, 0, 2, 3).reshape(weight.shape[1], -1),)


def _factorize(
    spec: LayerSpec, weight: Float64, _moments: Moments | None, _shrinkage: float | None
) -> Projection:
    c_out, _, kh, kw = weight.shape

    def fold(coordinates: Matrix, basis: Matrix) -> Arrays:
        core = coordinates.reshape(-1, c_out, kh, kw).transpose(1, 0, 2, 3)
        return basis.T[:, :, None, None], core

    return project(_unfold(spec, weight)[0], fold)


INPUT_SVD = Kind(
    "input_svd",
    reason_unless_spatial,
    full_ranks,
    _links,
    each_group(_unfold),
    by_group(_factorize),
)
