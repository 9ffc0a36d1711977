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

import numpy as np

from ..errors import LayerError
from ..records import LayerSpec
from .algebra import Matrix, principal_basis, tail_errors
from .curves import ErrorCurve
from .kinds import Arrays, Factorization, Float64
from .moments import Moments
from .shapes import Ranks


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A weight projected on `last` (rows x full, orthonormal); `first` (full x cols) are the
    coordinates. `errors` (full + 1,) is the relative error at every rank; none is estimated."""

    first: Matrix
    last: Matrix
    errors: Float64
    fold: Callable[[Matrix, Matrix], Arrays]
    """From (r x cols, rows x r) to the weights of the links."""
    mean: Float64 | None = None
    """Output mean that the bias absorbs; None where the response was not centred."""

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

    def measured_on(self, spec: LayerSpec, held_out: Moments, bias: Float64 | None) -> Projection:
        """The same factors with their errors on other outputs, whose moments `held_out` are."""
        if spec.bias and bias is None:
            raise LayerError("the layer has a bias, but none was given")
        # Without a shift of the bias a projection is exact where W x = 0, which is y = b.
        centre = bias if self.mean is None else self.mean
        response = held_out.second if centre is None else held_out.about(centre)
        total = float(np.trace(held_out.covariance if spec.bias else held_out.second))
        lost = np.einsum("ij,ij->j", self.last, response @ self.last)
        return replace(self, errors=tail_errors(np.maximum(lost, 0.0), total))

    def rival_on(
        self,
        spec: LayerSpec,
        held_out: Moments,
        bias: Float64 | None,
        plain: Factorization,
    ) -> Projection:
        """Factors from the weights alone, measured in the same way."""
        assert isinstance(plain, Projection)
        return plain.measured_on(spec, held_out, bias)


def project(matrix: Matrix, fold: Callable[[Matrix, Matrix], Arrays]) -> Projection:
    """The matrix on its own leading directions: its singular value decomposition."""
    basis = principal_basis(matrix)
    first = basis.T @ matrix
    return Projection(first, basis, tail_errors(np.einsum("ij,ij->i", first, first)), fold)
