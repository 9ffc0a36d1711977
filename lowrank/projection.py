"""The unfolded weight projected on r orthonormal directions of its rows: kinds with one rank.

`W ~ U_r (U_r^T W)`: the last link is `U_r`, the first `U_r^T W`. The orthonormal factor is
always the last link's, rather than singular values split evenly, because then (a) weight-only
and data-aware factors have one form, (b) rank r is a prefix of rank r + 1, and (c) what flows
between the links has the norm of the (projected) output, so half precision neither overflows
nor vanishes there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..errors import LayerError
from ..records import LayerSpec
from .algebra import Matrix, principal_basis, tail_errors
from .curves import ErrorCurve
from .kinds import Arrays, Float64
from .moments import Moments
from .shapes import Ranks


@dataclass(frozen=True, eq=False)
class Projection:
    """A weight (rows x cols) projected on `last` (rows x full, orthonormal). `errors` (full + 1,)
    is the relative error at every rank; none is estimated."""

    matrix: Matrix
    last: Matrix
    errors: Float64
    fold: Callable[[Matrix, Matrix], Arrays]
    """From (r x cols, rows x r) to the weights of the links."""
    mean: Float64 | None = None
    """Output mean that the bias absorbs; None where the response was not centred."""

    @cached_property
    def first(self) -> Matrix:
        """The coordinates (full x cols): as dear as a factorisation, and not needed to judge."""
        return self.last.T @ self.matrix

    def weights(self, ranks: Ranks) -> Arrays:
        (rank,) = ranks
        return self.fold(self.first[:rank], self.last[:, :rank])

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        """`y ~ U U^T (W x + b - mean) + mean`: all that does not depend on x."""
        if self.mean is None:
            return bias
        kept = self.last[:, : ranks[0]]
        result: Float64 = kept @ (kept.T @ (bias - self.mean)) + self.mean
        return result

    def error(self, ranks: Ranks) -> float:
        return float(self.errors[ranks[0]])

    estimate = error

    def error_curve(self) -> ErrorCurve:
        """The errors at all ranks."""
        return ErrorCurve((np.arange(1, len(self.errors)),), self.errors[1:], estimated=False)

    def measured_on(
        self, spec: LayerSpec, held_out: Moments, bias: Float64 | None, metric: Float64 | None
    ) -> Projection:
        """The same factors with their errors on other outputs, whose moments `held_out` are.

        What rank r loses of y is the sum of u_j u_j^T y over j > r, so its cost is a sum over
        the last rows and columns of the products (U^T K U)_ij (U^T M U)_ij.
        """
        centre = self._exact_at(spec, bias)
        response = held_out.second if centre is None else held_out.about(centre)
        whole = held_out.covariance if spec.bias else held_out.second
        heard = np.eye(len(response)) if metric is None else metric
        costs = (self.last.T @ heard @ self.last) * (self.last.T @ response @ self.last)
        lost = np.diag(costs) + 2 * np.triu(costs, 1).sum(axis=1)
        return replace(self, errors=tail_errors(lost, float(np.vdot(heard, whole))))

    def _exact_at(self, spec: LayerSpec, bias: Float64 | None) -> Float64 | None:
        """The output that the factors give exactly: without a shift of the bias that is
        where W x = 0, which is y = b."""
        if self.mean is not None or not spec.bias:
            return self.mean
        if bias is None:
            raise LayerError("the layer has a bias, but none was given")
        return bias


def project(matrix: Matrix, fold: Callable[[Matrix, Matrix], Arrays]) -> Projection:
    """The matrix on its own leading directions: its singular value decomposition."""
    basis = principal_basis(matrix)
    first = basis.T @ matrix
    return Projection(matrix, basis, tail_errors(np.einsum("ij,ij->i", first, first)), fold)
