"""cp: the weight as a sum of r terms, each a product of four vectors.

Lebedev et al., ICLR 2015. The best CP of a rank need not exist and has no closed form:
alternating least squares from several starts, the first of which is a CP that is known exactly
(see `_Slices`) and already sums up to the weight at full rank. Terms may grow and cancel at high
ranks; the factors that are handed out are never worse than that start. With moments of the patches
see `turned_inputs`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from ...records import LayerSpec
from ..algebra import Matrix, least_squares, principal_directions, tail_errors
from ..curves import ErrorCurve
from ..grouped import by_group, each_group
from ..kinds import Arrays, Float64, Kind
from ..moments import Moments
from ..shapes import (
    Links,
    Ranks,
    horizontal_part,
    layer_after,
    of_group,
    pointwise_first,
    pointwise_last,
    reason_unless_spatial,
    sides,
    vertical_part,
)
from ..turned_inputs import TurnedInputs, turned_inputs

Factors = tuple[Matrix, Matrix, Matrix, Matrix]
"""(C_out x r, kh x r, kw x r, C_in x r): the order of the tensor's axes."""

MAX_SWEEPS = 100
TOLERANCE = 1e-7
"""Sweeps end when the error falls by less than this share of itself."""
RANDOM_STARTS = 2
RANDOM_UP_TO = 64
"""Above this rank random starts were never the best, and cost as much as the first."""
EXACT = 1e-12


@dataclass(frozen=True, slots=True)
class _Slices:
    """A CP whose terms are orthogonal: the kernel's axes turned to their principal directions,
    and the SVD of each C_out x C_in slice. Terms stand by falling energy."""

    energies: Float64
    factors: Factors
    """Of all terms; the first r of them are the best choice of r."""

    @classmethod
    def of(cls, tensor: Float64) -> _Slices:
        turn_h, turn_w = (_principal(tensor, axis) for axis in (1, 2))
        turned = np.einsum("ohwi,ha,wb->aboi", tensor, turn_h, turn_w, optimize=True)
        u, s, vt = np.linalg.svd(turned, full_matrices=False)
        order = np.argsort(-s, axis=None, kind="stable")
        a, b, i = np.unravel_index(order, s.shape)
        factors = (u[a, b, :, i].T * s[a, b, i], turn_h[:, a], turn_w[:, b], vt[a, b, i, :].T)
        return cls(s[a, b, i] ** 2, factors)

    def first(self, rank: int) -> Factors:
        out, vertical, horizontal, into = (factor[:, :rank] for factor in self.factors)
        return out, vertical, horizontal, into


def _principal(tensor: Float64, axis: int) -> Matrix:
    rows = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
    return principal_directions(rows @ rows.T)


class Canonical:
    """One weight (C_out, C_in, kh, kw) and the CPs of the ranks asked for."""

    def __init__(self, weight: Float64) -> None:
        self._tensor = np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
        self._norm = float(np.linalg.norm(weight))
        self._fitted: dict[int, tuple[Factors, float]] = {}

    def weights(self, ranks: Ranks) -> Arrays:
        """1x1 (r, C_in), depthwise (r, 1, kh, 1) and (r, 1, 1, kw), 1x1 (C_out, r); for a
        kernel of one row or column a single depthwise link."""
        return _links_weights(self._best(ranks[0])[0])

    def start_weights(self, ranks: Ranks) -> Arrays:
        """Those of the orthogonal terms, before any sweep."""
        return _links_weights(self._slices.first(ranks[0]))

    def bias(self, _ranks: Ranks, bias: Float64) -> Float64:
        return bias

    def error(self, ranks: Ranks) -> float:
        """Relative Frobenius error, from the residual itself."""
        return self._best(ranks[0])[1] if ranks[0] else self.estimate(ranks)

    def estimate(self, ranks: Ranks) -> float:
        """Error of the orthogonal terms before any sweep: an upper bound, free for every rank."""
        return float(self._start_errors[ranks[0]])

    def error_curve(self) -> ErrorCurve:
        """The estimates at all ranks from 1 on."""
        errors = self._start_errors[1:]
        return ErrorCurve((np.arange(1, len(errors) + 1),), errors, estimated=True)

    @cached_property
    def _slices(self) -> _Slices:
        return _Slices.of(self._tensor)

    @cached_property
    def _start_errors(self) -> Float64:
        return tail_errors(self._slices.energies)

    def _best(self, rank: int) -> tuple[Factors, float]:
        if rank not in self._fitted:
            self._fitted[rank] = self._search(rank)
        return self._fitted[rank]

    def _search(self, rank: int) -> tuple[Factors, float]:
        start = self._slices.first(rank)
        bound = self.estimate((rank,))
        if bound <= EXACT:
            return start, bound
        starts = [start]
        if rank <= RANDOM_UP_TO:
            starts += [self._random(rank, seed) for seed in range(RANDOM_STARTS)]
        swept = [self._swept(one) for one in starts]
        fits = [(start, bound), *((factors, self._lost(factors)) for factors in swept)]
        return min(fits, key=lambda pair: pair[1])

    def _random(self, rank: int, seed: int) -> Factors:
        rng = np.random.default_rng(seed)
        out, vertical, horizontal, into = (
            rng.standard_normal((size, rank)) for size in self._tensor.shape
        )
        return out, vertical, horizontal, into

    def _swept(self, start: Factors) -> Factors:
        """Sweeps with extrapolation: where a step along the line of the last two sweeps fits
        better it is taken, and the next is longer (Bro, 1998; Rajih et al., 2008)."""
        current, error, pace = start, math.inf, 1.0
        for _ in range(MAX_SWEEPS):
            swept, swept_error = self._sweep(current)
            before, error = error, swept_error
            ahead = _extrapolated(current, swept, pace)
            ahead_error = self._gap(ahead)
            if ahead_error < error:
                swept, error, pace = ahead, ahead_error, 2 * pace
            else:
                pace = max(pace / 2, 0.5)
            current = swept
            if before - error <= TOLERANCE * error:
                break
        return current

    def _sweep(self, start: Factors) -> tuple[Factors, float]:
        """Least squares for each mode in turn. All vectors but those of the output have length
        one, so the last link carries the scale. Each large product serves two modes."""
        out, vertical, horizontal, into = start
        heard = np.einsum("ohwr,or->hwr", self._tensor @ into, out)
        seen = np.einsum("hwr,wr->hr", heard, horizontal)
        vertical = _unit(_solved(seen, (out, horizontal, into)))
        seen = np.einsum("hwr,hr->wr", heard, vertical)
        horizontal = _unit(_solved(seen, (out, vertical, into)))
        other = np.tensordot(out, self._tensor, axes=(0, 0))
        seen = np.einsum("rhwi,hwr->ir", other, _kernels(vertical, horizontal))
        into = _unit(_solved(seen, (out, vertical, horizontal)))
        seen = self._seen_by_output(vertical, horizontal, into)
        out = _solved(seen, (vertical, horizontal, into))
        factors = (out, vertical, horizontal, into)
        return factors, self._relative(seen, factors)

    def _seen_by_output(self, vertical: Matrix, horizontal: Matrix, into: Matrix) -> Matrix:
        kernels = _kernels(vertical, horizontal)
        result: Matrix = np.einsum("ohwr,hwr->or", self._tensor @ into, kernels)
        return result

    def _gap(self, factors: Factors) -> float:
        return self._relative(self._seen_by_output(*factors[1:]), factors)

    def _relative(self, seen: Matrix, factors: Factors) -> float:
        """Relative error by the normal equations: cheap, good enough to stop by."""
        gram = _gram(factors)
        lost_sq = self._norm**2 - 2 * float(np.vdot(seen, factors[0])) + float(gram.sum())
        return math.sqrt(max(lost_sq, 0.0)) / self._norm

    def _lost(self, factors: Factors) -> float:
        out, vertical, horizontal, into = factors
        kernel = np.einsum("or,hr,wr->ohwr", out, vertical, horizontal)
        residual = float(np.linalg.norm(self._tensor - kernel @ into.T))
        return min(residual / self._norm, 1.0) if math.isfinite(residual) else 1.0


def _links_weights(factors: Factors) -> Arrays:
    out, vertical, horizontal, into = factors
    if 1 in (len(vertical), len(horizontal)):
        kernel = np.einsum("hr,wr->rhw", vertical, horizontal)
        middle = [kernel[:, None]]
    else:
        middle = [vertical.T[:, None, :, None], horizontal.T[:, None, None, :]]
    return into.T[:, :, None, None], *middle, out[:, :, None, None]


def _extrapolated(before: Factors, after: Factors, pace: float) -> Factors:
    out, *others = (new + pace * (new - old) for old, new in zip(before, after, strict=True))
    lengths = np.prod([np.linalg.norm(factor, axis=0) for factor in others], axis=0)
    vertical, horizontal, into = map(_unit, others)
    return out * lengths, vertical, horizontal, into


def _kernels(vertical: Matrix, horizontal: Matrix) -> Float64:
    """The kernel (kh, kw, r) of each term."""
    result: Float64 = vertical[:, None] * horizontal
    return result


def _gram(factors: tuple[Matrix, ...]) -> Matrix:
    """Inner products of the terms: the product of those of their vectors."""
    result: Matrix = np.prod([factor.T @ factor for factor in factors], axis=0)
    return result


def _solved(seen: Matrix, others: tuple[Matrix, ...]) -> Matrix:
    """The least-squares solution of one mode, the others held."""
    return least_squares(_gram(others), seen.T).T


def _unit(columns: Matrix) -> Matrix:
    lengths = np.linalg.norm(columns, axis=0)
    result: Matrix = columns / np.where(lengths > 0, lengths, 1.0)
    return result


def _full_ranks(spec: LayerSpec) -> Ranks:
    """As many terms as the kernel's positions have singular values together."""
    one = of_group(spec)
    return (spec.groups * min(one.in_channels, one.out_channels) * math.prod(spec.kernel_size),)


def _links(spec: LayerSpec, ranks: Ranks) -> Links:
    """1x1 C_in -> r, (kh x 1) and (1 x kw) depthwise, 1x1 r -> C_out.

    A kernel with one row or column (or one axis) needs one depthwise link, which has the whole
    geometry.
    """
    (rank,) = ranks
    first = pointwise_first(spec, rank)
    depthwise = partial(replace, out_channels=rank, groups=rank, bias=False)
    if 1 in sides(spec):
        middle = [depthwise(layer_after(first, spec, False))]
    else:
        column = depthwise(layer_after(first, vertical_part(spec), False))
        middle = [column, depthwise(layer_after(column, horizontal_part(spec), False))]
    return (first, *middle, pointwise_last(middle[-1], spec))


def _unfold(_spec: LayerSpec, weight: Float64) -> tuple[Matrix, ...]:
    """Of C_in x rest and C_out x rest the one with more rows, as its rank is no smaller than
    any unfolding's."""
    axis = 0 if weight.shape[0] >= weight.shape[1] else 1
    return (np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1),)


def _factorize(
    spec: LayerSpec, weight: Float64, moments: Moments | None, shrinkage: float | None
) -> Canonical | TurnedInputs:
    if moments is None or not moments.count:
        return Canonical(weight)
    return turned_inputs(spec, weight, (_full_ranks(spec), 1), Canonical, moments, shrinkage)


CP = Kind(
    "cp",
    reason_unless_spatial,
    _full_ranks,
    _links,
    each_group(_unfold),
    by_group(_factorize),
    moments="patches",
    by_default=False,
)
