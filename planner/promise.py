"""What a limit promises: the network error on new pictures keeps it, with a stated probability.

A plan is chosen by its errors on the pictures of the search, which it therefore fits better than
others. What it promises rests on the *confirm* split, which the search never reads: its error
there, times how much more it may be on other pictures. Several plans may be tried on it, if they
are tried in an order that was fixed before.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ..models.network_error import NetworkError

Array = NDArray[np.float64]

LEVEL = 0.9
"""Probability with which a promise is kept unless told otherwise."""
GUESSED_VARIANCE = 1.0
"""Variance of one picture's squared error, relative to the mean, before any was seen: that of
demosaicking is 1.2, of alike pictures far less. It counts as `GUESSED_PICTURES` more pictures do,
which matters where there are three or four."""
GUESSED_PICTURES = 1
NEAR_LIMIT = 0.985
"""A plan whose bound is this share of the limit is good enough: no later step is looked at."""
TINY = 1e-30


def influences(error: NetworkError) -> Array:
    """How much each picture moves the logarithm of the squared network error, (pictures,), times
    their number: jackknife (Efron and Tibshirani 1993, chapter 11). The mean of their squares is
    the variance of one picture, rather too large than too small."""
    lost, whole = error.lost, error.whole
    others = _squared(error, lost.sum(axis=0) - lost, whole.sum(axis=0) - whole)
    logs = np.log(np.maximum(others, TINY * error.value**2))
    moved: Array = (len(lost) - 1) * (logs.mean() - logs)
    return moved


def _squared(error: NetworkError, lost: Array, whole: Array) -> Array:
    """Squared network errors of sums (..., parts)."""
    parts = np.maximum(lost, 0) / np.maximum(whole, TINY)
    return np.asarray(parts @ error.weights)


@dataclass(frozen=True, slots=True)
class Interval:
    """A network error that was measured, and the interval in which the one on new pictures lies:
    each end holds with probability `level`."""

    value: float
    low: float
    high: float
    level: float


def interval(
    seen: NetworkError,
    new: float,
    level: float = LEVEL,
    others: Sequence[NetworkError] = (),
) -> Interval:
    """Return the interval for the network error on `new` other pictures (infinite: on all there
    are), from that on the pictures `seen`.

    `others` are errors of this plan, or of one like it, on pictures that the search has read. They
    say nothing of its error here, but how far pictures differ. A t interval on the logarithm of the
    error, with Johnson's correction for errors that few pictures make up (Journal of the American
    Statistical Association 73, 1978): who misses these sees a small error and a small variance.
    """
    if not math.isfinite(seen.value):
        return Interval(math.inf, math.inf, math.inf, level)
    spread = _Spread.of([seen, *others])
    middle = spread.variance / 4 * (1 / len(seen.lost) - 1 / new)
    width = spread.deviation(len(seen.lost), new, level)
    low, high = (seen.value * math.exp(middle + side) for side in (-width, width))
    return Interval(seen.value, low, high, level)


@dataclass(frozen=True, slots=True)
class _Spread:
    """How far pictures differ: the variance and the skewness of one's squared error, relative to
    the mean, and the degrees of freedom behind them."""

    variance: float
    skewness: float
    freedom: int

    @classmethod
    def of(cls, groups: Sequence[NetworkError]) -> _Spread:
        moved = [influences(group) for group in groups if len(group.lost) > 1 and group.value > 0]
        together = np.concatenate([*moved, np.zeros(0)])
        freedom = len(together) - len(moved) + GUESSED_PICTURES
        squares = float(np.square(together).sum()) + GUESSED_PICTURES * GUESSED_VARIANCE
        variance = squares / freedom
        cubes = float((together**3).sum()) / max(len(together), 1)
        return cls(variance, max(cubes / variance**1.5, 0.0), freedom)

    def deviation(self, seen: int, new: float, level: float) -> float:
        """How far the logarithms of two sets' errors are apart at most, with that probability."""
        both = math.sqrt(1 / seen + 1 / new)
        quantile = float(stdtrit(self.freedom, level))
        # The covariance of the mean and the variance that were seen, relative to the latter.
        tied = self.skewness / (seen * both) * (seen - 1) / self.freedom
        return (quantile + tied / 2 * quantile**2) * math.sqrt(self.variance) * both / 2


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Which step of a path keeps the limit (None: not even the safest), and after how many
    looks at the confirm split."""

    step: int | None
    looks: int


def confirmed(
    expected: Sequence[float], bound_of: Callable[[int], float], limit: float, start: int
) -> Confirmation:
    """Return the last step of a path of plans whose bound keeps the limit, or one that is nearly
    there.

    `expected` are the errors that the search expects of the plans, rising, fixed before the
    confirm split is read; `bound_of` reads it. This is fixed-sequence testing from the safest
    plan up, which needs no correction for several looks (Angelopoulos et al., "Learn then
    Test", arXiv 2110.01052, section 3.2): a plan counts only if all safer ones would pass. Since
    bounds rise with the path, it is enough to find where they cross the limit: first at `start`,
    then where the last bound, in proportion, says.
    """
    passing, failing, step, looks = -1, len(expected), start, 0
    while failing - passing > 1:
        bound, looks = bound_of(step), looks + 1
        passing, failing = (step, failing) if bound <= limit else (passing, step)
        if NEAR_LIMIT * limit <= bound <= limit:
            break
        wanted = bisect_right(expected, expected[step] * limit / max(bound, TINY)) - 1
        step = min(max(wanted, passing + 1), failing - 1)
    return Confirmation(passing if passing >= 0 else None, looks)


def path(limit: float, top: float = 1.05) -> list[float]:
    """Return the errors to plan for, rising to `top` times the limit: 2% from one to the next in
    the upper half, where the winner is nearly always found, and 6% down to a tenth.

    Finer steps use a little more of the limit, but promises are then kept less often than stated:
    among plans that are nearly alike the lucky ones win. In the simulation of this module's tests,
    1% kept 0.896 of 1,500 promises of 0.9, 2% 0.906.
    """
    fine = [top / 1.02**below for below in range(int(math.log(top / 0.5) / math.log(1.02)))]
    coarse = [fine[-1] / 1.06**below for below in range(1, 2 + int(math.log(5) / math.log(1.06)))]
    return [limit * share for share in reversed([*fine, *coarse])]


def first_step(expected: Sequence[float], limit: float, margin: float) -> int:
    """Return the step to look at first, where bounds are thought to be `margin` times errors."""
    return max(bisect_right(expected, limit / margin) - 1, 0)


def expected_margin(
    searched: NetworkError, confirm: int, new: float, level: float = LEVEL
) -> float:
    """Return by what factor a bound from so many confirm pictures will be above the error there,
    as far as the pictures of the search say."""
    spread = _Spread.of([searched])
    spread = _Spread(spread.variance, 0.0, spread.freedom + max(confirm - 1, 0))
    return math.exp(spread.deviation(confirm, new, level))
