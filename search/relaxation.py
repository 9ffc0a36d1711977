"""Linear relaxations of the multiple-choice knapsack: bounds, prices, and picks near them.

Sinha and Zoltners (1979): with one limit only the upper concave envelope of each group matters,
which a greedy walk by falling slope solves. Several limits have one price (Lagrange multiplier)
each; the prices with the least bound are found by cutting planes (Kelley 1960), whose program has
as many unknowns as there are limits, and not one for every item.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .knapsack_problem import Floats, Ints, Knapsack

MAX_CUTS = 200
CLOSE = 1e-7
"""Relative distance between the best bound and the least it could be, where cutting ends."""
DEAREST = 1e6
"""Most that a limit may cost as a whole, in units of all that values differ by."""


@dataclass(frozen=True)
class Relaxation:
    """A linear relaxation: a whole solution near it (which may break limits), the upper bound
    of all solutions, and what a unit of each row's weight is worth, shape (rows,)."""

    picks: Ints
    bound: float
    multipliers: Floats


def relax(problem: Knapsack) -> Relaxation | None:
    """Relax the first limit alone; None where even the lightest items break it."""
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
    return Relaxation(picks, problem.lagrangian_bound(multipliers), multipliers)


def relax_all(problem: Knapsack, first: Floats) -> Relaxation | None:
    """Relax all limits, from the prices of `relax`; None where it is proven that nothing fits."""
    limited = np.flatnonzero(np.isfinite(problem.limits))
    weights, limits = problem.weights[limited], problem.limits[limited]
    units = np.maximum(np.abs(limits), np.abs(weights).max(axis=1, initial=1e-300))
    least, most = (
        float(extreme.reduceat(problem.values, problem.starts).sum())
        for extreme in (np.minimum, np.maximum)
    )
    scale = (most - least) or abs(most) or 1.0
    heights: list[float] = []
    slopes: list[Floats] = []
    multipliers, bound, prices = first, np.inf, first[limited] * units / scale
    for _ in range(MAX_CUTS):
        tried = np.zeros(len(problem.limits))
        tried[limited] = prices * scale / units
        tried_bound = problem.lagrangian_bound(tried)
        if tried_bound < bound:
            multipliers, bound = tried, tried_bound
        if bound < least - CLOSE * abs(least):
            return None
        picks = problem.largest(problem.reduced(tried))
        heights.append(problem.value(picks) / scale)
        slopes.append((limits - weights[:, picks].sum(axis=1)) / units)
        prices, low = _lowest(np.array(heights), np.array(slopes))
        if bound - low * scale <= CLOSE * abs(bound):
            break
    return Relaxation(_priced(problem, multipliers), bound, multipliers)


def _lowest(heights: Floats, slopes: Floats) -> tuple[Floats, float]:
    """The prices where the bound could be least as far as is known, and that least. The bound, a
    convex function of the prices, does not fall below the planes of these heights and slopes."""
    from scipy.optimize import linprog

    rows, prices = slopes.shape
    result: Any = linprog(
        np.append(np.zeros(prices), 1.0),
        A_ub=np.column_stack([slopes, -np.ones(rows)]),
        b_ub=-heights,
        bounds=[(0, DEAREST)] * prices + [(None, None)],
    )
    if result.x is None:  # beyond the solver's precision: what is known is good enough
        return np.zeros(prices), np.inf
    return np.asarray(result.x[:-1]), float(result.x[-1])


def _priced(problem: Knapsack, multipliers: Floats) -> Ints:
    """Whole picks near the relaxation: each group's best item at the prices, which rise for the
    limits that are broken until none is."""
    prices = np.where(np.isfinite(problem.limits), np.maximum(multipliers, 1e-12), 0.0)
    for rise in 1 + np.geomspace(1e-5, 10, 100):
        picks = problem.largest(problem.reduced(prices))
        broken = problem.weights[:, picks].sum(axis=1) > problem.ceilings
        if not broken.any():
            break
        prices = np.where(broken, prices * rise, prices)
    return picks


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
    """The items, given by rising weight, on the rising part of the upper concave envelope."""
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
