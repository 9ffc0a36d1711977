"""The multiple-choice knapsack, solved to a proven relative gap.

A linear relaxation bounds all solutions, and picks near it are improved by swaps, which mostly
closes the gap. Where it does not, the relaxation's Lagrange multipliers bound what every item can
be part of (reduced-cost fixing); the few items that are left go through a table of states where
there is one limit. Where there are several, or the states are too many, a core of the most
promising items goes to HiGHS as a mixed-integer program, and what is left after that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dp_knapsack
from .knapsack_problem import GAP, SLACK, Floats, Ints, Knapsack, Solution
from .quiet import silent_output
from .relaxation import Relaxation, relax, relax_all

__all__ = ["GAP", "SLACK", "Knapsack", "Solution", "solve"]

TIME_LIMIT_S = 20.0
"""Time that HiGHS has for all items that are left; what is proven by then is the bound."""
CORE, CORE_TIME_LIMIT_S = 1000, 2.0
"""Items of the core beside two for each group, and HiGHS's time for it."""


def solve(problem: Knapsack) -> Solution | None:
    """The most valuable picks within all limits, to a relative gap of `GAP`; None where
    nothing fits."""
    relaxed = relax(problem)
    if relaxed is not None and not problem.fits(relaxed.picks):
        relaxed = relax_all(problem, relaxed.multipliers)
    if relaxed is None:
        return None
    best = None
    for better in (_improved, _by_states, _by_core, _by_highs):
        solution = better(problem, relaxed, best)
        if solution is None:
            continue
        best = solution.picks
        if solution.gap(problem.value(best)) <= GAP:
            break
    return solution


def _improved(problem: Knapsack, relaxed: Relaxation, _: Ints | None) -> Solution | None:
    """The relaxation's picks, and single items that fit into the room that they leave."""
    if not problem.fits(relaxed.picks):
        return None
    best = improve(problem, relaxed.picks)
    return Solution(best, max(relaxed.bound, problem.value(best)))


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


def _by_states(problem: Knapsack, relaxed: Relaxation, best: Ints | None) -> Solution | None:
    """By `dp_knapsack`; None where nothing is known to fit, or with too many limits or states."""
    if best is None or np.isfinite(problem.limits[1:]).any():
        return None
    keep, left_out = _undecided(problem, relaxed, best)
    error = GAP / 4 * abs(problem.value(best))
    owner = problem.owner[keep]
    table = dp_knapsack.DpTable(
        problem.values[keep],
        problem.weights[0, keep],
        np.flatnonzero(np.diff(owner, prepend=-1)),
        float(problem.ceilings[0]),
        float(relaxed.multipliers[0]),
        relaxed.bound - left_out,
        error,
    )
    items = dp_knapsack.solve(table)
    if items is None:
        return None
    bound = left_out
    if len(items):
        bound = max(bound, problem.value(keep[items]) + error)
        best = improve(problem, max(best, keep[items], key=problem.value))
    return Solution(best, max(min(relaxed.bound, bound), problem.value(best)))


def _by_core(problem: Knapsack, relaxed: Relaxation, best: Ints | None) -> Solution | None:
    """Each group's most promising item and the `CORE` next ones of all, by HiGHS: bounds nothing,
    but finds picks by which `_undecided` drops most items (after Pisinger 1995)."""
    loss = -problem.reduced(relaxed.multipliers)
    loss -= np.minimum.reduceat(loss, problem.starts)[problem.owner]
    loss[relaxed.picks if best is None else best] = 0.0
    keep = np.sort(np.argsort(loss, kind="stable")[: 2 * len(problem.starts) + CORE])
    if len(np.unique(problem.owner[keep])) < len(problem.starts):
        return None
    return _branched(problem, relaxed, best, keep, CORE_TIME_LIMIT_S)


def _by_highs(problem: Knapsack, relaxed: Relaxation, best: Ints | None) -> Solution | None:
    keep, left_out = _undecided(problem, relaxed, best)
    return _branched(problem, relaxed, best, keep, TIME_LIMIT_S, left_out)


def _branched(
    problem: Knapsack,
    relaxed: Relaxation,
    best: Ints | None,
    keep: Ints,
    time_limit_s: float,
    left_out: float = float("inf"),
) -> Solution | None:
    """HiGHS among the items in `keep`; picks with any other are worth at most `left_out`."""
    # HiGHS allows itself 1e-6 of each limit: where that is used, ask again for a little less.
    picks, bound = _milp(problem, keep, time_limit_s)
    if picks is not None and not problem.fits(picks):
        picks, _ = _milp(problem, keep, time_limit_s, shrink=4e-6)
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
    reduced = problem.reduced(relaxed.multipliers)
    top = np.maximum.reduceat(reduced, problem.starts)
    reach = relaxed.bound - (top[problem.owner] - reduced)
    value = problem.value(best)
    enough = value + GAP / 2 * abs(value)
    keep = reach >= enough
    keep[best] = True
    return np.flatnonzero(keep), enough


def _milp(
    problem: Knapsack, keep: Ints, time_limit_s: float, shrink: float = 0.0
) -> tuple[Ints | None, float]:
    """HiGHS's picks among `keep` (None where nothing fits or it ran out of time) and its upper
    bound. All limits are made smaller by the share `shrink`."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    values = problem.values[keep]
    unit = float(np.abs(values).max(initial=0.0)) or 1.0
    ones, rows, limits = _matrices(problem, keep)
    with silent_output():
        result: Any = milp(
            -values / unit,
            integrality=np.ones(len(keep)),
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(ones, 1, 1),
                LinearConstraint(rows, -np.inf, limits - shrink),
            ],
            options={"mip_rel_gap": GAP / 2, "time_limit": time_limit_s},
        )
    dual = result.mip_dual_bound
    bound = float("inf") if dual is None else -float(dual) * unit
    if result.x is None:
        return None, bound
    shares = np.full(len(problem.values), -1.0)
    shares[keep] = result.x
    return problem.largest(shares), bound


def _matrices(problem: Knapsack, keep: Ints) -> tuple[Any, Any, Floats]:
    """For the items in `keep`: one-of-each-group rows, then the limited rows and their limits,
    each divided by its unit so that HiGHS's tolerances are relative."""
    from scipy.sparse import csr_array

    ones = csr_array(
        (np.ones(len(keep)), (problem.owner[keep], np.arange(len(keep)))),
        (len(problem.starts), len(keep)),
    )
    limited = np.isfinite(problem.limits)
    weights, limits = problem.weights[limited][:, keep], problem.limits[limited]
    units = np.maximum(np.abs(limits), np.abs(weights).max(axis=1, initial=1e-300))
    return ones, csr_array(weights / units[:, None]), limits / units
