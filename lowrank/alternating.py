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
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..errors import LayerError
from ..records import LayerSpec
from .algebra import (
    Matrix,
    cholesky,
    completed,
    principal_basis,
    principal_directions,
    with_fixed_signs,
)
from .curves import ErrorCurve
from .first_link import FirstLink
from .kinds import Arrays, Float64
from .moments import Moments
from .output_error import OutputEnergy, OutputError
from .shapes import Ranks
from .shrinkage import checked_shrinkage, default_shrinkage
from .start_curves import StartFeatures, curve_of_start
from .views import View

MAX_SWEEPS = 12
"""Most turns of S and F. On real layers four leave less than a per cent of the error to gain; the
start is one to ten per cent above."""
DRAFT_SWEEPS = 2
"""Turns of a draft: on real layers it is one to five per cent above where the turns end, in a
fifth of the time."""
TOLERANCE = 1e-3
"""Turns end when the lost energy falls by less than this share of itself."""


class Factors(NamedTuple):
    """F (r x inner, orthonormal rows), the core (r_out or C_out x r*positions), U, and the energy
    that is lost with them."""

    first: Matrix
    core: Matrix
    last: Matrix | None
    lost: float

    @property
    def second(self) -> Matrix:
        """All that comes after F, (C_out x r*positions)."""
        return self.core if self.last is None else self.last @ self.core


class AlternatingFit:
    """One weight (C_out, n) under one metric of its patches."""

    def __init__(
        self,
        view: View,
        full: Ranks,
        energy: OutputEnergy,
        output_error: OutputError,
        mean: Float64 | None,
    ) -> None:
        """`energy` is what is made least, under a positive definite metric; `mean` (n,) is the
        patches' mean that the bias takes up, or None where it does not."""
        self.view, self.full, self.energy = view, full, energy
        self.output_error, self.mean = output_error, mean
        self.sweeps = MAX_SWEEPS
        self._refined: dict[tuple[int, Ranks], Factors] = {}

    @property
    def weight(self) -> Matrix:
        return self.energy.weight

    def measured_on(
        self, spec: LayerSpec, held_out: Moments, _bias: Float64 | None, metric: Float64 | None
    ) -> AlternatingFit:
        """The same factors with their errors on other patches, whose moments `held_out` are."""
        measured = OutputError.of(spec, self.weight, held_out, self.mean, metric)
        return AlternatingFit(self.view, self.full, self.energy, measured, self.mean)

    def draft(self) -> AlternatingFit:
        """The same, refined in `DRAFT_SWEEPS` turns."""
        other = copy.copy(self)
        other.sweeps = DRAFT_SWEEPS
        return other

    def weights(self, ranks: Ranks) -> Arrays:
        first, core, last, _ = self.factors(ranks)
        shape = (core.shape[0], first.shape[0], self.view.positions)
        return self.view.fold(first, core.reshape(shape), last)

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        """`y ~ W'(x - mean) + W mean + b`: all that does not depend on x."""
        if self.mean is None:
            return bias
        result: Float64 = bias + (self.weight - self._rebuilt(ranks)) @ self.mean
        return result

    def error(self, ranks: Ranks) -> float:
        """The lost output of the refined factors."""
        return self.output_error.error(self._rebuilt(ranks))

    def _rebuilt(self, ranks: Ranks) -> Matrix:
        factors = self.factors(ranks)
        return self.view.spread(factors.first, factors.second)

    def estimate(self, ranks: Ranks) -> float:
        """The lost output of the start, which the turns improve."""
        if ranks == self.full:  # which is the weight itself, as `error` finds exactly
            return self.error(ranks)
        rank, measured = ranks[0], self.output_error
        second = self._regressed(self.start[:rank], ranks, *self._fit.first(rank)).second
        return measured.relative(measured.energy.lost_by(second, *self._held_out.first(rank)))

    @cached_property
    def start(self) -> Matrix:
        """Orthonormal rows (full r x inner), by falling importance."""
        inner, positions = self.view.inner, self.view.positions
        root = cholesky(self.view.traced(self.energy.metric))
        rows = self.weight.reshape(-1, inner, positions).transpose(0, 2, 1).reshape(-1, inner)
        gram = rows.T @ rows
        directions = gram @ root @ principal_directions(root.T @ gram @ root)[:, : self.full[0]]
        # Directions of little importance would be lost in rounding beside the first ones.
        length = np.linalg.norm(directions, axis=0)
        directions /= np.where(length > 0, length, 1.0)
        return with_fixed_signs(np.linalg.qr(directions)[0]).T

    @cached_property
    def _fit(self) -> StartFeatures:
        return StartFeatures(self.start, self.view, self.energy)

    @cached_property
    def _held_out(self) -> StartFeatures:
        return StartFeatures(self.start, self.view, self.output_error.energy)

    def factors(self, ranks: Ranks) -> Factors:
        """The factors at these ranks, as far refined as `sweeps` says; remembered."""
        key = self.sweeps, ranks
        if key not in self._refined:
            self._refined[key] = self._improved(ranks)
        return self._refined[key]

    def _improved(self, ranks: Ranks) -> Factors:
        # Not from the features that ranks share: the same factors again, whatever was asked before.
        found = self._solved(self.start[: ranks[0]], ranks)
        # Where the first rank is full, its directions span all there is: nothing to improve.
        if ranks[0] == self.full[0]:
            return found
        first_link = FirstLink(self.view, self.energy)
        lost, last = found.lost, found
        for _ in range(self.sweeps):
            last = self._solved(first_link.better(last.first, last.core, last.last), ranks)
            if last.lost < found.lost:
                found = last
            if last.lost > (1 - TOLERANCE) * lost:
                break
            lost = last.lost
        return found

    def _solved(self, first: Matrix, ranks: Ranks) -> Factors:
        """The best core (and U) for that F."""
        crossed = self.view.features(first, _columns(self.energy.response))
        return self._regressed(first, ranks, crossed, self.view.gram(first, self.energy.metric))

    def _regressed(self, first: Matrix, ranks: Ranks, crossed: Matrix, gram: Matrix) -> Factors:
        """The same from what F's features Phi give: Phi A W^T (r*positions, C_out), Phi A Phi^T."""
        from scipy.linalg import cho_solve

        energy = self.energy
        # Only what plain projection leaves is regressed: at full rank that is nothing, exactly.
        second = self.view.features(first, _columns(self.weight)).T
        if len(first) < self.full[0]:
            left = crossed - gram @ second.T
            second = second + cho_solve((cholesky(gram), True), left).T
        if not self.view.two_ranks:
            return Factors(first, second, None, energy.lost_by(second, crossed, gram))
        basis = completed(principal_basis(second, second @ gram @ second.T), ranks[1])
        core = basis.T @ second
        return Factors(first, core, basis, energy.lost_by(basis @ core, crossed, gram))

    def error_curve(self) -> ErrorCurve:
        return curve_of_start(self._fit, self._held_out, self.full, self.output_error)


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
    energy = output_error.energy.shrunk(amount)
    return AlternatingFit(view, full, energy, output_error, mean)


def _columns(rows: Matrix) -> Matrix:
    return np.ascontiguousarray(rows.T)
