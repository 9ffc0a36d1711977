"""Kinds whose first link mixes a part of the patch at each of several positions, from data.

A patch x has `inner * positions` values. The first link F (r x inner) mixes the inner values at
each position, the second S (C_out x r*positions) takes what comes out at all positions:

    y = W x  ~  S (F (x) I) x

`spatial_svd` mixes a column of all channels (inner = C_in*kh) at each of kw places, `tucker2`
(and the input-side SVD) the channels (inner = C_in) at each of kh*kw. Both minimise the lost
output trace((W - S F)(G)(W - S F)^T) under the second moments G of the patches, shrunk towards
a multiple of the identity, under which the least is the weight-only solution.

*Start*: the directions of W G_inner^1/2, where G_inner sums G over equal positions (whitening,
as in SVD-LLM, 2024); these are nested, so one factorisation serves every rank. *Given F* the
best S is a linear regression of y on (F (x) I) x, and with a rank limit on S the reduced-rank
regression: its projection on the leading directions of the explained response (Izenman, 1975).
*Given S* the best F solves normal equations, by conjugate gradients. The two take turns.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..records import LayerSpec
from .algebra import (
    MIN_SHRINKAGE,
    Matrix,
    completed,
    conjugate_gradients,
    principal_basis,
    principal_directions,
    shrunk_metric,
    with_fixed_signs,
)
from .curves import ErrorCurve
from .kinds import Arrays, Float64
from .moments import Moments
from .output_error import OutputError, energy, relative
from .shapes import Ranks
from .shrinkage import checked_shrinkage, default_shrinkage

MAX_SWEEPS = 12
"""Most turns of S and F. On real layers four leave less than a per cent of the error to gain; the
start is one to ten per cent above."""
DRAFT_SWEEPS = 2
"""Turns of a draft: on real layers it is one to five per cent above where the turns end, in a
fifth of the time."""
GRADIENT_STEPS = 4
"""Steps of conjugate gradients for F in each turn; eight gain nothing."""
TOLERANCE = 1e-3
"""Turns end when the lost energy falls by less than this share of itself."""
MAX_INNER_RANKS = 32
"""First ranks for which the error curve of a kind with two ranks is made."""


@dataclass(frozen=True, slots=True)
class View:
    """How a kind sees a patch. `fold` makes the links' weights of F (r x inner), the core
    (r_out x r x positions) and U (C_out x r_out); U is None where S has no rank of its own."""

    inner: int
    positions: int
    two_ranks: bool
    fold: Callable[[Matrix, Matrix, Matrix | None], Arrays]


class AlternatingFit:
    """One weight (C_out, n) under one metric of its patches."""

    def __init__(
        self,
        weight: Matrix,
        view: View,
        full: Ranks,
        metric: Matrix,
        output_error: OutputError,
        mean: Float64 | None,
    ) -> None:
        """`metric` (n, n) is positive definite; `mean` (n,) is the patches' mean that the bias
        takes up, or None where it does not."""
        self.weight, self.view, self.full = weight, view, full
        self.metric, self.output_error, self.mean = metric, output_error, mean
        self.sweeps = MAX_SWEEPS
        self._refined: dict[tuple[int, Ranks], tuple[Matrix, Matrix, Matrix | None]] = {}

    def measured_on(
        self, spec: LayerSpec, held_out: Moments, _bias: Float64 | None, metric: Float64 | None
    ) -> AlternatingFit:
        """The same factors with their errors on other patches, whose moments `held_out` are."""
        other = copy.copy(self)
        other.output_error = OutputError.of(spec, self.weight, held_out, self.mean, metric)
        return other

    def draft(self) -> AlternatingFit:
        """The same, refined in `DRAFT_SWEEPS` turns."""
        other = copy.copy(self)
        other.sweeps = DRAFT_SWEEPS
        return other

    def weights(self, ranks: Ranks) -> Arrays:
        first, core, last = self.factors(ranks)
        shape = (core.shape[0], first.shape[0], self.view.positions)
        return self.view.fold(first, core.reshape(shape), last)

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        """`y ~ W'(x - mean) + W mean + b`: all that does not depend on x."""
        if self.mean is None:
            return bias
        result: Float64 = bias + (self.weight - self._rebuilt(*self.factors(ranks))) @ self.mean
        return result

    def error(self, ranks: Ranks) -> float:
        """The lost output of the refined factors."""
        return self.output_error.error(self._rebuilt(*self.factors(ranks)))

    def estimate(self, ranks: Ranks) -> float:
        """The lost output of the start, which the turns improve."""
        return self.output_error.error(self._rebuilt(*self._solved(self.start[: ranks[0]], ranks)))

    @cached_property
    def start(self) -> Matrix:
        """Orthonormal rows (full r x inner), by falling importance."""
        inner, positions = self.view.inner, self.view.positions
        blocks = self.metric.reshape(inner, positions, inner, positions)
        root = np.linalg.cholesky(np.einsum("apbp->ab", blocks))
        rows = self.weight.reshape(-1, inner, positions).transpose(0, 2, 1).reshape(-1, inner)
        gram = rows.T @ rows
        directions = gram @ root @ principal_directions(root.T @ gram @ root)[:, : self.full[0]]
        # Directions of little importance would be lost in rounding beside the first ones.
        length = np.linalg.norm(directions, axis=0)
        directions /= np.where(length > 0, length, 1.0)
        return with_fixed_signs(np.linalg.qr(directions)[0]).T

    def factors(self, ranks: Ranks) -> tuple[Matrix, Matrix, Matrix | None]:
        """F (r x inner, orthonormal rows), core (r_out or C_out x r*positions), U; remembered."""
        key = self.sweeps, ranks
        if key not in self._refined:
            self._refined[key] = self._improved(ranks)
        return self._refined[key]

    def _improved(self, ranks: Ranks) -> tuple[Matrix, Matrix, Matrix | None]:
        first = self.start[: ranks[0]]
        solved = self._solved(first, ranks)
        # Where the first rank is full, its directions span all there is: nothing to improve.
        if ranks[0] == self.full[0]:
            return solved
        lost = self._lost(solved)
        for _ in range(self.sweeps):
            first = self._better_first(*solved)
            tried = self._solved(first, ranks)
            now = self._lost(tried)
            if now < lost:
                solved = tried
            if now > (1 - TOLERANCE) * lost:
                break
            lost = now
        return solved

    def _lost(self, factors: tuple[Matrix, Matrix, Matrix | None]) -> float:
        return energy(self.weight - self._rebuilt(*factors), self.metric)

    def _solved(self, first: Matrix, ranks: Ranks) -> tuple[Matrix, Matrix, Matrix | None]:
        """The best core (and U) for that F."""
        from scipy.linalg import cho_factor, cho_solve

        seen = self._apply(first, self.metric)
        gram = self._apply(first, np.ascontiguousarray(seen.T))
        # Only what plain projection leaves is regressed: at full rank that is nothing, exactly.
        plain = self._apply(first, np.ascontiguousarray(self.weight.T)).T
        left = self.weight - self._spread(first, plain)
        second = plain + cho_solve(cho_factor(gram), seen @ left.T).T
        if not self.view.two_ranks:
            return first, second, None
        basis = completed(principal_basis(second, second @ gram @ second.T), ranks[1])
        return first, basis.T @ second, basis

    def _apply(self, first: Matrix, columns: Matrix) -> Matrix:
        """(F (x) I) M for M (n, k)."""
        product: Matrix = first @ columns.reshape(self.view.inner, -1)
        return product.reshape(first.shape[0] * self.view.positions, -1)

    def _spread(self, first: Matrix, second: Matrix) -> Matrix:
        """S (F (x) I), (rows of S, n)."""
        cores = second.reshape(len(second), first.shape[0], self.view.positions)
        whole = np.einsum("orp,ra->oap", cores, first, optimize=True)
        return np.ascontiguousarray(whole).reshape(len(second), -1)

    def _rebuilt(self, first: Matrix, core: Matrix, last: Matrix | None) -> Matrix:
        whole = self._spread(first, core)
        return whole if last is None else last @ whole

    def _better_first(self, first: Matrix, core: Matrix, last: Matrix | None) -> Matrix:
        """F after a few conjugate gradients on its normal equations, preconditioned as if
        positions were not correlated; rows made orthonormal."""
        from scipy.linalg import cho_factor, cho_solve

        positions, inner = self.view.positions, self.view.inner
        cores = core.reshape(len(core), first.shape[0], positions)
        target = self.weight if last is None else last.T @ self.weight
        blocks = self.metric.reshape(inner, positions, inner, positions)
        right = cho_factor(np.einsum("apbp->ab", blocks) / positions)
        gram = np.einsum("orp,osp->rs", cores, cores, optimize=True)
        left = cho_factor(gram + MIN_SHRINKAGE * max(np.trace(gram), 1e-300) * np.eye(len(gram)))

        def gradient(rows: Matrix) -> Matrix:
            seen = (rows @ self.metric).reshape(-1, inner, positions)
            product: Matrix = np.einsum("orp,oap->ra", cores, seen, optimize=True)
            return product

        def preconditioned(residual: Matrix) -> Matrix:
            solution: Matrix = cho_solve(right, cho_solve(left, residual).T).T
            return solution

        residual = gradient(target - self._spread(first, core))
        better = first + conjugate_gradients(
            lambda step: gradient(self._spread(step, core)),
            preconditioned,
            residual,
            GRADIENT_STEPS,
        )
        return with_fixed_signs(np.linalg.qr(better.T)[0]).T

    def error_curve(self) -> ErrorCurve:
        """The start's errors at all ranks of a grid, in one go.

        The features of rank r are the first of those of rank r + 1, so that the Cholesky
        factor of the largest gram matrix makes them orthonormal for every rank at once.
        """
        from scipy.linalg import solve_triangular

        explained, seen, answers = self._orthonormal(solve_triangular)
        width, heard = self.view.positions, self.output_error.as_heard
        total = energy(self.weight, self.output_error.metric, self.output_error.heard)
        if not self.view.two_ranks:
            crossed = np.cumsum(np.einsum("oi,oi->i", explained, heard(answers)))
            squares = _leading_sums((explained.T @ heard(explained)) * seen)
            ranks = np.arange(1, self.full[0] + 1)
            lost = total - 2 * crossed[width - 1 :: width] + squares[width - 1 :: width]
            return ErrorCurve((ranks,), self._errors(lost), estimated=True)
        firsts = _spread_ranks(self.full[0])
        rows = [
            self._over_last(explained[:, :n], seen[:n, :n], answers[:, :n], total)
            for n in firsts * width
        ]
        lasts = np.arange(1, self.full[1] + 1)
        return ErrorCurve((firsts, lasts), np.stack(rows), estimated=True)

    def _orthonormal(
        self, solve_triangular: Callable[..., Matrix]
    ) -> tuple[Matrix, Matrix, Matrix]:
        """In the orthonormal features: W's coefficients (C_out x m); under the metric of the
        errors their Gram matrix (m x m) and their products with the output (C_out x m)."""
        first = self.start
        seen = self._apply(first, self.metric)
        root = np.linalg.cholesky(self._apply(first, np.ascontiguousarray(seen.T)))
        explained = solve_triangular(root, seen @ self.weight.T, lower=True).T
        measured = self._apply(first, self.output_error.metric)
        answers = solve_triangular(root, measured @ self.weight.T, lower=True).T
        gram = self._apply(first, np.ascontiguousarray(measured.T))
        half = solve_triangular(root, gram, lower=True)
        return explained, solve_triangular(root, half.T, lower=True), answers

    def _over_last(self, explained: Matrix, seen: Matrix, answers: Matrix, total: float) -> Float64:
        """Errors at every last rank for one first rank."""
        basis = principal_directions(explained @ explained.T)[:, : self.full[1]]
        heard = self.output_error.as_heard(basis)
        kept = basis.T @ explained
        crossed = np.einsum("im,im->i", kept, heard.T @ answers)
        squares = _leading_sums((basis.T @ heard) * (kept @ seen @ kept.T))
        return self._errors(total - 2 * np.cumsum(crossed) + squares)

    def _errors(self, lost: Float64) -> Float64:
        return np.array([relative(value, self.output_error.total) for value in lost])


def alternating_fit(
    spec: LayerSpec,
    weight: Float64,
    view: View,
    full: Ranks,
    moments: Moments,
    shrinkage: float | None,
) -> AlternatingFit:
    """Factors from patch moments, measured by the same moments, not the shrunk ones.

    A layer with a bias is regressed on the patches about their mean, which its bias takes up:
    that holds with zero padding too, because it is the whole patch, zeros included, that is
    averaged. One without keeps moments about zero and gets no bias.
    """
    matrix = weight.reshape(weight.shape[0], -1)
    if moments.channels != matrix.shape[1]:
        raise LayerError(f"moments of {moments.channels} values for patches of {matrix.shape[1]}")
    amount = default_shrinkage(moments) if shrinkage is None else checked_shrinkage(shrinkage)
    mean = moments.mean if spec.bias else None
    output_error = OutputError.of(spec, matrix, moments, mean)
    return AlternatingFit(
        matrix, view, full, shrunk_metric(output_error.metric, amount), output_error, mean
    )


def _leading_sums(matrix: Matrix) -> Float64:
    """Sums of the leading 1x1, 2x2, ... blocks of a symmetric matrix."""
    new = 2 * np.tril(matrix, -1).sum(axis=1) + np.diag(matrix)
    return np.cumsum(new)


def _spread_ranks(full: int) -> NDArray[np.int64]:
    """All ranks up to full, or multiples of a power of two, at most `MAX_INNER_RANKS`."""
    step = 1
    while full > step * MAX_INNER_RANKS:
        step *= 2
    ranks = np.arange(step, full + 1, step)
    return ranks if ranks[-1] == full else np.append(ranks, full)
