"""One-rank kinds: the unfolded weight projected on r orthonormal directions of its rows.

`W ~ U_r (U_r^T W)`: the last link is `U_r`, the first `U_r^T W`. The orthonormal factor is
always the last link's, rather than singular values split evenly, because then (a) weight-only
and data-aware factors have one form, (b) rank r is a prefix of rank r + 1, and (c) what flows
between the links has the norm of the (projected) output, so half precision neither overflows
nor vanishes there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..records import LayerSpec
from .algebra import Matrix, principal_basis, tail_errors
from .alternating import AlternatingFit, View, alternating_fit
from .moments import Moments, checked_shrinkage, default_shrinkage

Arrays = tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A weight projected on `last` (rows x full, orthonormal); `first` (full x cols) are the
    coordinates. `errors` (full + 1,) is the relative error at every rank."""

    first: Matrix
    last: Matrix
    errors: NDArray[np.float64]
    fold: Callable[[Matrix, Matrix], Arrays]
    """From (r x cols, rows x r) to the weights of the links."""
    mean: NDArray[np.float64] | None = None
    """Output mean that the bias absorbs; None where the response was not centred."""
    exact: ClassVar[bool] = True
    """No rank is refined: estimates are the errors."""

    def weights(self, ranks: tuple[int, ...]) -> Arrays:
        (rank,) = ranks
        return self.fold(self.first[:rank], self.last[:, :rank])

    def bias(self, ranks: tuple[int, ...], bias: NDArray[np.float64]) -> NDArray[np.float64]:
        """`y ~ U U^T (W x + b - mean) + mean`: all that does not depend on x."""
        if self.mean is None:
            return bias
        kept = self.last[:, : ranks[0]]
        result: NDArray[np.float64] = kept @ (kept.T @ (bias - self.mean)) + self.mean
        return result

    def error(self, ranks: tuple[int, ...]) -> float:
        return float(self.errors[ranks[0]])

    estimate = error

    def table(self) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
        """Ranks, and the errors at all of them; nothing is estimated."""
        return [np.arange(1, len(self.errors))], self.errors[1:]

    def measured_by(self, response: Matrix, total: float) -> Projection:
        """The same factors, errors under other second moments of the response (rows x rows)
        about the point where the replacement is exact, relative to `total`."""
        lost = np.einsum("ij,ij->j", self.last, response @ self.last)
        return replace(self, errors=tail_errors(np.maximum(lost, 0.0), total))


def output_unfolding(spec: LayerSpec, weight: NDArray[np.float64]) -> tuple[Matrix, ...]:
    """svd, channel_svd: C_out x (C_in*kh*kw)."""
    return (weight.reshape(weight.shape[0], -1),)


def spatial_unfolding(spec: LayerSpec, weight: NDArray[np.float64]) -> tuple[Matrix, ...]:
    """spatial_svd: (C_out*kw) x (C_in*kh)."""
    c_out, c_in, kh, kw = weight.shape
    return (weight.transpose(0, 3, 1, 2).reshape(c_out * kw, c_in * kh),)


def project_output(
    spec: LayerSpec,
    weight: NDArray[np.float64],
    moments: Moments | None,
    shrinkage: float | None,
) -> Projection:
    """svd, channel_svd; with moments the projection that loses least of the output.

    A layer with a bias has its response centred (the bias absorbs the mean); one without keeps
    uncentred moments and gets no bias, so that what was timed as a candidate and what ships
    are the same chain. Zhang et al., TPAMI 2016, with shrinkage (see `default_shrinkage`).
    """

    def fold(first: Matrix, last: Matrix) -> Arrays:
        if spec.op == "linear":
            return first, last
        return first.reshape(-1, *weight.shape[1:]), last[:, :, None, None]

    (matrix,) = output_unfolding(spec, weight)
    if moments is None or not moments.count:
        return _plain(matrix, fold)
    if moments.channels != spec.out_channels:
        raise LayerError(
            f"moments of {moments.channels} channels for a layer with {spec.out_channels}"
        )
    response = moments.covariance if spec.bias else moments.second
    amount = default_shrinkage(moments) if shrinkage is None else checked_shrinkage(shrinkage)
    basis = principal_basis(matrix, _shrunk(response, matrix @ matrix.T, amount))
    kept = np.einsum("ij,ij->j", basis, response @ basis)
    errors = tail_errors(np.maximum(kept, 0.0))
    return Projection(basis.T @ matrix, basis, errors, fold, moments.mean if spec.bias else None)


def project_spatial(
    spec: LayerSpec,
    weight: NDArray[np.float64],
    moments: Moments | None,
    shrinkage: float | None,
) -> Projection | AlternatingFit:
    """spatial_svd; with moments of the patches what loses least of the
    output (see `alternating_fit`)."""
    (matrix,) = spatial_unfolding(spec, weight)
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
        return _plain(matrix, fold)
    full = (min(matrix.shape),)
    view = View(c_in * kh, kw, False, fold_two)
    return alternating_fit(spec, weight, view, full, moments, shrinkage)


def _plain(matrix: Matrix, fold: Callable[[Matrix, Matrix], Arrays]) -> Projection:
    basis = principal_basis(matrix)
    first = basis.T @ matrix
    return Projection(first, basis, tail_errors(np.einsum("ij,ij->i", first, first)), fold)


def _shrunk(response: Matrix, weight_gram: Matrix, amount: float) -> Matrix:
    """(1 - a) M + a W W^T scaled to the trace of M."""
    energy = np.trace(weight_gram)
    scale = np.trace(response) / energy if energy > 0 else 0.0
    # Without any response (constant output) the weights alone decide.
    scale = scale if scale > 0 else 1.0
    result: Matrix = (1 - amount) * response + amount * scale * weight_gram
    return result
