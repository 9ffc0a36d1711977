"""spatial_svd: a k x k convolution as (kh x 1) C_in -> r and (1 x kw) r -> C_out.

Jaderberg et al., BMVC 2014; of three axes the first is split from the others, (kt x 1 x 1) and
(1 x kh x kw), as in R(2+1)D (Tran et al., CVPR 2018). With moments of the patches what loses least
of the output (see `alternating`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...records import LayerSpec
from ..algebra import Matrix
from ..alternating import AlternatingFit, alternating_fit
from ..grouped import by_group, each_group
from ..kinds import Arrays, Float64, Kind
from ..moments import Moments
from ..projection import Projection, project
from ..shapes import (
    Links,
    Ranks,
    horizontal_part,
    layer_after,
    of_group,
    reason_unless_spatial,
    sides,
    vertical_part,
)
from ..views import View


def _applies(spec: LayerSpec) -> str:
    flat = 1 in sides(spec)
    return reason_unless_spatial(spec) or ("kernel with a single row or column" if flat else "")


def _full_ranks(spec: LayerSpec) -> Ranks:
    kh, kw = sides(spec)
    one = of_group(spec)
    return (spec.groups * min(one.in_channels * kh, one.out_channels * kw),)


def _links(spec: LayerSpec, ranks: Ranks) -> Links:
    """All that is vertical on the first, the rest on the second."""
    first = replace(vertical_part(spec), out_channels=ranks[0], bias=False)
    return first, layer_after(first, horizontal_part(spec), spec.bias)


def _unfold(_spec: LayerSpec, weight: Float64) -> tuple[Matrix, ...]:
    """(C_out*kw) x (C_in*kh)."""
    c_out, c_in, kh, kw = weight.shape
    return (weight.transpose(0, 3, 1, 2).reshape(c_out * kw, c_in * kh),)


def _factorize(
    spec: LayerSpec, weight: Float64, moments: Moments | None, shrinkage: float | None
) -> Projection | AlternatingFit:
    (matrix,) = _unfold(spec, weight)
    c_out, c_in, kh, kw = weight.shape

    def fold(first: Matrix, last: Matrix) -> Arrays:
        rank = first.shape[0]
        return (
            first.reshape(rank, c_in, kh, 1),
            last.reshape(c_out, kw, rank).transpose(0, 2, 1)[:, :, None, :],
        )

    def fold_two(first: Matrix, core: Matrix, _last: Matrix | None) -> Arrays:
        # The last link's columns orthonormal, as everywhere here.
        last, scale = np.linalg.qr(core.transpose(0, 2, 1).reshape(c_out * kw, -1))
        return fold(scale @ first, last)

    if moments is None or not moments.count:
        return project(matrix, fold)
    full = (min(matrix.shape),)
    view = View(c_in * kh, kw, False, fold_two)
    return alternating_fit(spec, weight, view, full, moments, shrinkage)


SPATIAL_SVD = Kind(
    "spatial_svd",
    _applies,
    _full_ranks,
    _links,
    each_group(_unfold),
    by_group(_factorize),
    moments="patches",
)
