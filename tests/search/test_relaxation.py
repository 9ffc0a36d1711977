"""Linear relaxations against HiGHS: the same bound, and picks and prices that belong to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from rankwise.search.knapsack_problem import Knapsack
from rankwise.search.relaxation import relax, relax_all

GROUPS, ITEMS = 6, 5


def problem_of(seed: int, rows: int, share: float) -> Knapsack:
    """Limits between what the lightest and what the heaviest items weigh."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0, 1, (rows, GROUPS * ITEMS))
    values = rng.uniform(-1, 3, GROUPS * ITEMS) + weights.sum(axis=0)
    grouped = weights.reshape(rows, GROUPS, ITEMS)
    least, most = (extreme(axis=2).sum(axis=1) for extreme in (grouped.min, grouped.max))
    limits = least + share * (most - least)
    return Knapsack(values, weights, limits, np.repeat(np.arange(GROUPS), ITEMS))


def linear_bound(problem: Knapsack) -> float | None:
    """What the linear program says, over shares of items; None where nothing fits."""
    limited = np.isfinite(problem.limits)
    found = linprog(
        -problem.values,
        A_ub=problem.weights[limited] if limited.any() else None,
        b_ub=problem.limits[limited] if limited.any() else None,
        A_eq=(problem.owner == np.arange(GROUPS)[:, None]).astype(float),
        b_eq=np.ones(GROUPS),
        bounds=(0, 1),
    )
    return -found.fun if found.status == 0 else None


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_one_limit_is_relaxed_exactly(seed: int, share: float) -> None:
    problem = problem_of(seed, 1, share)
    relaxed, bound = relax(problem), linear_bound(problem)
    assert relaxed is not None
    assert bound is not None
    assert relaxed.bound == pytest.approx(bound, rel=1e-7)
    assert problem.fits(relaxed.picks)
    # Only one group is between two of its items: the picks miss at most its step.
    spread = np.ptp(problem.values.reshape(GROUPS, ITEMS), axis=1).max()
    assert bound - spread - 1e-9 <= problem.value(relaxed.picks) <= bound + 1e-9


@given(st.integers(0, 2**32 - 1))
def test_without_a_limit_the_picks_are_the_best(seed: int) -> None:
    problem = problem_of(seed, 1, np.inf)
    relaxed = relax(problem)
    assert relaxed is not None
    best = problem.values.reshape(GROUPS, ITEMS).max(axis=1).sum()
    assert problem.value(relaxed.picks) == pytest.approx(best)
    assert relaxed.bound == pytest.approx(best)
    assert not relaxed.multipliers.any()


def test_where_nothing_fits_there_is_no_relaxation() -> None:
    assert relax(problem_of(0, 1, -0.1)) is None


@given(st.integers(0, 2**32 - 1), st.integers(2, 3), st.floats(0, 1))
def test_the_bound_of_several_limits_is_close(seed: int, rows: int, share: float) -> None:
    problem = problem_of(seed, rows, share)
    relaxed, bound = relax_all(problem, np.zeros(rows)), linear_bound(problem)
    if bound is None:
        assert relaxed is None
        return
    assert relaxed is not None
    assert (relaxed.multipliers >= 0).all()
    assert relaxed.bound == pytest.approx(problem.lagrangian_bound(relaxed.multipliers))
    assert bound - 1e-9 <= relaxed.bound <= bound + 1e-5 * max(1.0, abs(bound))


@pytest.mark.parametrize("seed", range(5))
def test_picks_near_the_bound_of_several_limits_keep_them(seed: int) -> None:
    problem = problem_of(seed, 2, 0.6)
    relaxed = relax_all(problem, np.zeros(2))
    assert relaxed is not None
    assert problem.fits(relaxed.picks)
