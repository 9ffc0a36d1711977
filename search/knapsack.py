"""The multiple-choice knapsack: one item out of each group, a limit on the weight.

Sinha and Zoltners (1979): only the upper concave envelope of each group matters for the
linear relaxation, which a greedy walk by falling slope solves (HiGHS does where there are
several limits). Its Lagrange multipliers bound what every item can be part of (reduced-cost
fixing). The few items that are left go through a table of states where there is one limit, else
to HiGHS as a mixed-integer program. Values and weights may be negative; all sums are of one item
for each group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice, pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import states
from .silence import silent_output

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

GAP = 1e-4
"""A solution this close to its proven bound, relatively, is not improved any further."""
SLACK = 1e-9
"""Relative excess of a limit that is put down to rounding."""
TIME_LIMIT_S = 20.0
MOST_ROUNDINGS = 1000


@dataclass(frozen=True)
class Knapsack:
    """Items of all groups, flat and grouped: item i belongs to group `owner[i]`.

    `limits`, shape (rows,), are the upper limits of the sums of the rows of `weights`, shape
    (rows, items); infinity is no limit.
    """

    values: Floats
    weights: Floats
    limits: Floats
    owner: Ints
    starts: Ints = field(init=False)

    def __post_init__(self) -> None:
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        object.__setattr__(self, "starts", starts)

    def value(self, picks: Ints) -> float:
        return float(self.values[picks].sum())

    @property
    def ceilings(self) -> Floats:
        """The limits with what is put down to rounding."""
        finite = np.where(np.isfinite(self.limits), self.limits, 0.0)
        return self.limits + SLACK * np.abs(finite)

    def fits(self, picks: Ints) -> bool:
        return bool(np.all(self.weights[:, picks].sum(axis=1) <= self.ceilings))


@dataclass(frozen=True)
class Relaxation:
    """A linear relaxation: a whole solution near it (which may break limits), the upper bound
    of all solutions, and what a unit of each row's weight is worth, shape (rows,)."""

    picks: Ints
    bound: float
    multipliers: Floats


@dataclass(frozen=True)
class Solution:
    picks: Ints
    bound: float

    def gap(self, value: float) -> float:
        """Relative distance of a value to the bound, never negative."""
        distance = max(0.0, self.bound - value)
        return distance / max(abs(self.bound), abs(value)) if distance else 0.0


def solve(problem: Knapsack) -> Solution | None:
    """The most valuable picks within all limits, to a relative gap of `GAP`; None where
    nothing fits."""
    relaxed = relax(problem)
    if relaxed is not None and not problem.fits(relaxed.picks):
        relaxed = _relax_all(problem)
    if relaxed is None:
        return None
    best = relaxed.picks if problem.fits(relaxed.picks) else None
    if best is not None:
        best = improve(problem, best)
        solution = Solution(best, max(relaxed.bound, problem.value(best)))
        if solution.gap(problem.value(best)) <= GAP:
            return solution
    by_states = None if best is None else _by_states(problem, relaxed, best)
    return by_states or _by_highs(problem, relaxed, best)


def relax(problem: Knapsack) -> Relaxation | None:
    """By the first limit alone; None where even the lightest items break it."""
    weight, limit = problem.weights[0], float(problem.limits[0])
    picks, steps = _envelopes(problem)
    room = float(problem.ceilings[0] - weight[picks].sum())
    if room < 0:
        return None
    gains = problem.values[steps[:, 1]] - problem.values[steps[:, 0]]
    costs = weight[steps[:, 1]] - weight[steps[:, 0]]
    # A stable sort keeps the steps of a group in order: their slopes fall.
    order = np.argsort(-gains / costs, kind="stable")
    spent = np.cumsum(costs[order])
    whole = int(np.searchsorted(spent, room, side="right")) if np.isfinite(limit) else len(order)
    for step in steps[order[:whole]]:
        picks[problem.owner[step[1]]] = step[1]
    multipliers = np.zeros(len(problem.limits))
    if whole < len(order):
        multipliers[0] = gains[order[whole]] / costs[order[whole]]
    return Relaxation(picks, _lagrangian_bound(problem, multipliers), multipliers)


def _relax_all(problem: Knapsack) -> Relaxation | None:
    """By all limits, through HiGHS's simplex; None where nothing fits."""
    from scipy.optimize import linprog

    unit = float(np.abs(problem.values).max(initial=0.0)) or 1.0
    ones, rows, limits, units = _matrices(problem, np.arange(len(problem.values), dtype=np.intp))
    result: Any = linprog(
        -problem.values / unit,
        A_ub=rows,
        b_ub=limits,
        A_eq=ones,
        b_eq=np.ones(len(problem.starts)),
        method="highs-ds",
    )
    if result.x is None:
        return None
    multipliers = np.zeros(len(problem.limits))
    prices = np.maximum(-np.asarray(result.ineqlin.marginals), 0.0)
    multipliers[np.isfinite(problem.limits)] = prices * unit / units
    picks = _rounded(problem, np.asarray(result.x))
    if not problem.fits(picks):
        picks = _priced(problem, multipliers)
    return Relaxation(picks, _lagrangian_bound(problem, multipliers), multipliers)


def _rounded(problem: Knapsack, shares: Floats) -> Ints:
    """Whole picks near a fractional solution: of a basic solution at most as many groups as
    there are rows are split, so all roundings of these few are tried."""
    picks = _largest(problem, shares)
    partial = np.flatnonzero((shares > 1e-7) & (shares < 1 - 1e-7))
    split = [partial[problem.owner[partial] == group] for group in set(problem.owner[partial])]
    best, found = picks, float("-inf")
    for items in islice(product(*split), MOST_ROUNDINGS):
        tried = picks.copy()
        for item in items:
            tried[problem.owner[item]] = item
        if problem.fits(tried) and problem.value(tried) > found:
            best, found = tried, problem.value(tried)
    return best


def _priced(problem: Knapsack, multipliers: Floats) -> Ints:
    """Each group's best item at the prices, which rise for the limits that are broken until
    none is: whole picks near the relaxation where no rounding of it fits."""
    prices = np.where(np.isfinite(problem.limits), np.maximum(multipliers, 1e-12), 0.0)
    for rise in 1 + np.geomspace(1e-5, 10, 100):
        picks = _largest(problem, _reduced(problem, prices))
        broken = problem.weights[:, picks].sum(axis=1) > problem.ceilings
        if not broken.any():
            break
        prices = np.where(broken, prices * rise, prices)
    return picks


def _largest(problem: Knapsack, shares: Floats) -> Ints:
    """Each group's item with the largest share."""
    order = np.lexsort((shares, problem.owner))
    largest: Ints = order[np.append(problem.starts[1:], len(shares)) - 1]
    return largest


def _lagrangian_bound(problem: Knapsack, multipliers: Floats) -> float:
    """No picks within the limits are worth more, whatever the multipliers (>= 0) are."""
    top = np.maximum.reduceat(_reduced(problem, multipliers), problem.starts)
    limited = multipliers > 0
    return float(top.sum() + multipliers[limited] @ problem.limits[limited])


def _reduced(problem: Knapsack, multipliers: Floats) -> Floats:
    return problem.values - multipliers @ problem.weights


def _envelopes(problem: Knapsack) -> tuple[Ints, Ints]:
    """Each group's lightest item, and the steps (from, to) up its concave envelope."""
    ends = np.append(problem.starts[1:], len(problem.values))
    order = np.lexsort((-problem.values, problem.weights[0], problem.owner))
    values, weights = problem.values.tolist(), problem.weights[0].tolist()
    picks: list[int] = []
    steps: list[tuple[int, int]] = []
    for start, end in zip(problem.starts, ends, strict=True):
        hull = _envelope(order[start:end].tolist(), values, weights)
        picks.append(hull[0])
        steps += pairwise(hull)
    return np.array(picks, dtype=np.intp), np.array(steps, dtype=np.intp).reshape(-1, 2)


def _envelope(items: list[int], values: list[float], weights: list[float]) -> list[int]:
    """Of items by rising weight: those on the rising part of the upper concave envelope."""
    hull = items[:1]
    for item in items[1:]:
        if values[item] <= values[hull[-1]]:
            continue
        while len(hull) > 1 and _is_below(hull[-2], hull[-1], item, values, weights):
            hull.pop()
        hull.append(item)
    return hull


def _is_below(a: int, b: int, c: int, values: list[float], weights: list[float]) -> bool:
    """Whether b lies on or below the line from a to c."""
    rise = (values[b] - values[a]) * (weights[c] - weights[a])
    return rise <= (values[c] - values[a]) * (weights[b] - weights[a])


def improve(problem: Knapsack, picks: Ints) -> Ints:
    """Swap single items for better ones that fit, the best gain first, until none is left."""
    picks = picks.copy()
    owner = problem.owner
    while True:
        gains = problem.values - problem.values[picks][owner]
        changes = problem.weights - problem.weights[:, picks][:, owner]
        totals = problem.weights[:, picks].sum(axis=1, keepdims=True) + changes
        fits = np.all(totals <= problem.ceilings[:, None], axis=0)
        gains = np.where(fits, gains, 0.0)
        best = int(np.argmax(gains))
        # A gain below rounding could be swapped to and fro for ever.
        if gains[best] <= 1e-12 * np.abs(problem.values).max(initial=0.0):
            return picks
        picks[owner[best]] = best


def _by_states(problem: Knapsack, relaxed: Relaxation, best: Ints) -> Solution | None:
    """None where there are several limits, or too many states."""
    if np.isfinite(problem.limits[1:]).any():
        return None
    keep, left_out = _undecided(problem, relaxed, best)
    error = GAP / 4 * abs(problem.value(best))
    owner = problem.owner[keep]
    table = states.Table(
        problem.values[keep],
        problem.weights[0, keep],
        np.flatnonzero(np.diff(owner, prepend=-1)),
        float(problem.ceilings[0]),
        float(relaxed.multipliers[0]),
        relaxed.bound - left_out,
        error,
    )
    found = states.solve(table)
    if found is None:
        return None
    bound = left_out
    if len(found):
        bound = max(bound, problem.value(keep[found]) + error)
        best = improve(problem, max(best, keep[found], key=problem.value))
    return Solution(best, max(min(relaxed.bound, bound), problem.value(best)))


def _by_highs(problem: Knapsack, relaxed: Relaxation, best: Ints | None) -> Solution | None:
    keep, left_out = _undecided(problem, relaxed, best)
    # HiGHS allows itself 1e-6 of each limit: where that is used, ask again for a little less.
    picks, bound = _milp(problem, keep)
    if picks is not None and not problem.fits(picks):
        picks, _ = _milp(problem, keep, shrink=4e-6)
    if picks is not None and problem.fits(picks):
        picks = improve(problem, picks)
        best = picks if best is None else max(best, picks, key=problem.value)
    if best is None:
        return None
    bound = min(relaxed.bound, max(bound, left_out))
    return Solution(best, max(bound, problem.value(best)))


def _undecided(problem: Knapsack, relaxed: Relaxation, best: Ints | None) -> tuple[Ints, float]:
    """Items that may be part of something better than `best` by more than half of `GAP` (all,
    while there is none), and what picks with any other item are worth at most."""
    if best is None:
        return np.arange(len(problem.values), dtype=np.intp), float("-inf")
    reduced = _reduced(problem, relaxed.multipliers)
    top = np.maximum.reduceat(reduced, problem.starts)
    reach = relaxed.bound - (top[problem.owner] - reduced)
    value = problem.value(best)
    enough = value + GAP / 2 * abs(value)
    keep = reach >= enough
    keep[best] = True
    return np.flatnonzero(keep), enough


def _milp(problem: Knapsack, keep: Ints, shrink: float = 0.0) -> tuple[Ints | None, float]:
    """HiGHS's picks among `keep` (None where nothing fits or it ran out of time) and its upper
    bound. All limits are made smaller by the share `shrink`."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    values = problem.values[keep]
    unit = float(np.abs(values).max(initial=0.0)) or 1.0
    ones, rows, limits, _ = _matrices(problem, keep)
    with silent_output():
        result: Any = milp(
            -values / unit,
            integrality=np.ones(len(keep)),
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(ones, 1, 1),
                LinearConstraint(rows, -np.inf, limits - shrink),
            ],
            options={"mip_rel_gap": GAP / 2, "time_limit": TIME_LIMIT_S},
        )
    dual = result.mip_dual_bound
    bound = float("inf") if dual is None else -float(dual) * unit
    if result.x is None:
        return None, bound
    shares = np.full(len(problem.values), -1.0)
    shares[keep] = result.x
    return _largest(problem, shares), bound


def _matrices(problem: Knapsack, keep: Ints) -> tuple[Any, Any, Floats, Floats]:
    """For the items in `keep`: one-of-each-group rows, then the limited rows and their limits,
    each divided by its unit (the last) so that HiGHS's tolerances are relative."""
    from scipy.sparse import csr_array

    ones = csr_array(
        (np.ones(len(keep)), (problem.owner[keep], np.arange(len(keep)))),
        (len(problem.starts), len(keep)),
    )
    limited = np.isfinite(problem.limits)
    weights, limits = problem.weights[limited][:, keep], problem.limits[limited]
    units = np.maximum(np.abs(limits), np.abs(weights).max(axis=1, initial=1e-300))
    return ones, csr_array(weights / units[:, None]), limits / units, units
