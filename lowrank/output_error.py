"""What a replacement loses of a layer's output, on moments that may be of other pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import LayerSpec
from .algebra import Matrix, shrinking, shrunk_metric
from .curves import ErrorCurve
from .kinds import Arrays, Factorization, Float64, Tabulated
from .moments import Moments
from .shapes import Ranks


@dataclass(frozen=True, slots=True, eq=False)
class OutputEnergy:
    """What errors of a layer's output cost on patches, tr(K D A D^T) for an error D x.

    `weight` (C_out, n) is the layer's, `metric` (n, n) the second moments A of its patches x, and
    `response` their product W A; `heard` K (C_out, C_out), None for the identity.
    """

    weight: Matrix
    metric: Matrix
    response: Matrix
    heard: Matrix | None = None

    def as_heard(self, rows: Matrix) -> Matrix:
        """K R for R (C_out, n)."""
        return rows if self.heard is None else self.heard @ rows

    @property
    def whole(self) -> float:
        """That of the output itself."""
        return float(np.vdot(self.as_heard(self.response), self.weight))

    def shrunk(self, amount: float) -> OutputEnergy:
        """Under (1 - a) A + a I, I scaled to the trace of A (see `shrunk_metric`)."""
        kept, added = shrinking(self.metric, amount)
        response = kept * self.response + added * self.weight
        return OutputEnergy(self.weight, shrunk_metric(self.metric, amount), response)

    def lost(self, rebuilt: Matrix) -> float:
        """That of the error which `rebuilt` (C_out, n) in the weight's place makes."""
        lost = self.weight - rebuilt
        return float(np.vdot(self.as_heard(lost @ self.metric), lost))

    def lost_by(self, second: Matrix, crossed: Matrix, gram: Matrix) -> float:
        """The same where what takes the weight's place is S Phi, S (C_out, m), in a fraction of
        the time: from Phi A W^T (m, C_out) and Phi A Phi^T (m, m). As a difference of large numbers
        it is exact to 1e-15 of the whole."""
        heard = self.as_heard(second)
        crossed_by = float(np.vdot(heard, crossed.T))
        return self.whole - 2 * crossed_by + float(np.vdot(heard @ gram, second))


@dataclass(frozen=True, slots=True, eq=False)
class OutputError:
    """`energy` is taken about the point where the replacement is exact; `total` is the output's
    (its variance where the layer has a bias)."""

    energy: OutputEnergy
    total: float

    @classmethod
    def of(
        cls,
        spec: LayerSpec,
        weight: Matrix,
        moments: Moments,
        centre: Float64 | None,
        heard: Matrix | None = None,
    ) -> OutputError:
        """For the weight (C_out, n). `centre`: the mean that the replacement's bias takes up
        (`b' = b + (W - W') centre`), or None where the bias stays as it is."""
        metric = moments.second if centre is None else moments.about(centre)
        energy = OutputEnergy(weight, metric, weight @ metric, heard)
        total = energy.whole
        if spec.bias:
            off = weight @ (moments.mean if centre is None else moments.mean - centre)
            total -= float(off @ energy.as_heard(off))
        return cls(energy, total)

    def error(self, rebuilt: Matrix) -> float:
        """Relative error of the output with that weight (C_out, n) in the layer's place."""
        return self.relative(self.energy.lost(rebuilt))

    def relative(self, lost: float) -> float:
        """The root of the lost energy over the whole."""
        return relative(lost, self.total)


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredOnPatches:
    """Factors from the weights alone with their errors on patches. `start` is the same before
    refinement, for all ranks at once."""

    plain: Factorization
    output_error: OutputError
    start: Tabulated

    def weights(self, ranks: Ranks) -> Arrays:
        return self.plain.weights(ranks)

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        return self.plain.bias(ranks, bias)

    def error(self, ranks: Ranks) -> float:
        return self.output_error.error(effective_weight(self.plain.weights(ranks)))

    def estimate(self, ranks: Ranks) -> float:
        return self.start.estimate(ranks)

    def error_curve(self) -> ErrorCurve:
        return self.start.error_curve()


def energy(rows: Matrix, metric: Matrix, heard: Matrix | None = None) -> float:
    """trace(K R M R^T): the mean cost of an error R v; without K its mean squared length."""
    moved = rows @ metric
    return float(np.vdot(moved, rows if heard is None else heard @ rows))


def relative(lost: float, total: float) -> float:
    """The root of lost over total; 0 where there is nothing to lose."""
    return float(np.sqrt(max(lost, 0.0) / total)) if total > 0 else 0.0


def effective_weight(weights: Sequence[NDArray[Any]]) -> Matrix:
    """The weight (C_out, C_in*kh*kw) that a chain of links amounts to; of a grouped layer
    (C_out, C_in/groups*kh*kw).

    Links are convolutions (or transposed ones and plain 1x1) of which, along each axis, one has a
    kernel larger than 1; or linear layers. All have the same number of axes.
    """
    whole = reduce(_after, weights)
    return whole.reshape(whole.shape[0], -1)


def _after(first: Matrix, second: Matrix) -> Matrix:
    """One kernel for two, the second of which may take its inputs in groups."""
    groups, axes = first.shape[0] // second.shape[1], first.ndim - 2
    of_first, of_second = "ijk"[:axes], "xyz"[:axes]
    sides = "".join(map("".join, zip(of_first, of_second, strict=True)))
    grouped = (one.reshape(groups, -1, *one.shape[1:]) for one in (first, second))
    both = np.einsum(f"grc{of_first},gor{of_second}->goc{sides}", *grouped, optimize=True)
    kernel = np.multiply(first.shape[2:], second.shape[2:])
    result: Matrix = both.reshape(second.shape[0], first.shape[1], *kernel)
    return result
