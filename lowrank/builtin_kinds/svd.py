"""svd: a 1x1 convolution or linear layer as two, C_in -> r -> C_out. Zhang et al., TPAMI 2016.

With moments of the layer's outputs it is the projection that loses least of the output. A layer
with a bias has its response centred (the bias absorbs the mean); one without keeps uncentred
moments and gets no bias, so that what was timed as a candidate and what ships are the same chain.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ...errors import LayerError
from ...records import LayerSpec
from ..algebra import Matrix, principal_basis, tail_errors
from ..grouped import by_group, each_group
from ..kinds import Arrays, Float64, Kind
from ..moments import Moments
from ..projection import Projection, project
from ..shapes import Links, Ranks, of_group, pointwise_last, reason_if_depthwise
from ..shrinkage import checked_shrinkage, default_shrinkage


def _applies(spec: LayerSpec) -> str:
    larger = "" if spec.is_pointwise else "kernel larger than 1x1"
    return reason_if_depthwise(spec) or larger


def full_ranks(spec: LayerSpec) -> Ranks:
    """The rank of the C_out x (C_in*kh*kw) unfolding."""
    one = of_group(spec)
    return (spec.groups * min(one.out_channels, one.in_channels * math.prod(spec.kernel_size)),)


def _links(spec: LayerSpec, ranks: Ranks) -> Links:
    """The layer with r outputs, then 1x1 (or linear) r -> C_out.

    Stride, padding and dilation stay on the first, so the second has the fewest positions
    and never sees a padded zero that the first did not see.
    """
    first = replace(spec, out_channels=ranks[0], bias=False)
    return first, pointwise_last(first, spec)


def _unfold(_spec: LayerSpec, weight: Float64) -> tuple[Matrix, ...]:
    """C_out x (C_in*kh*kw)."""
    return (weight.reshape(weight.shape[0], -1),)


def _factorize(
    spec: LayerSpec, weight: Float64, moments: Moments | None, shrinkage: float | None
) -> Projection:
    """With shrinkage towards the weights' own directions (see `default_shrinkage`)."""

    def fold(first: Matrix, last: Matrix) -> Arrays:
        if spec.op == "linear":
            return first, last
        return first.reshape(-1, *weight.shape[1:]), last[:, :, None, None]

    (matrix,) = _unfold(spec, weight)
    if moments is None or not moments.count:
        return project(matrix, fold)
    if moments.channels != spec.out_channels:
        raise LayerError(
            f"moments of {moments.channels} channels for a layer with {spec.out_channels}"
        )
    response = moments.covariance if spec.bias else moments.second
    amount = default_shrinkage(moments) if shrinkage is None else checked_shrinkage(shrinkage)
    basis = principal_basis(matrix, _shrunk(response, matrix @ matrix.T, amount))
    kept = np.einsum("ij,ij->j", basis, response @ basis)
    errors = tail_errors(np.maximum(kept, 0.0))
    return Projection(matrix, basis, errors, fold, moments.mean if spec.bias else None)


def _shrunk(response: Matrix, weight_gram: Matrix, amount: float) -> Matrix:
    """(1 - a) M + a W W^T scaled to the trace of M."""
    energy = np.trace(weight_gram)
    scale = np.trace(response) / energy if energy > 0 else 0.0
    # Without any response (constant output) the weights alone decide.
    scale = scale if scale > 0 else 1.0
    result: Matrix = (1 - amount) * response + amount * scale * weight_gram
    return result


SVD = Kind(
    "svd",
    _applies,
    full_ranks,
    _links,
    each_group(_unfold),
    by_group(_factorize),
    moments="outputs",
)
