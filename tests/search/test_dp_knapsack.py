"""The knapsack's table of states: as good as trying everything, and quick where layers repeat."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.search import dp_knapsack, knapsack

VALUES = st.integers(-5, 20)
GROUPS = st.lists(
    st.lists(st.tuples(VALUES, st.integers(-3, 20)), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


def table(
    groups: list[list[tuple[float, float]]], ceiling: float, error: float
) -> dp_knapsack.DpTable:
    items = np.array([item for group in groups for item in group], dtype=float)
    sizes = [0, *(len(group) for group in groups[:-1])]
    return dp_knapsack.DpTable(
        items[:, 0], items[:, 1], np.cumsum(sizes), ceiling, 0.0, float("inf"), error
    )


@given(GROUPS, st.integers(-5, 40), st.sampled_from([0.0, 0.5]))
def test_as_good_as_trying_everything(
    groups: list[list[tuple[float, float]]], ceiling: int, error: float
) -> None:
    plans = [np.sum(plan, axis=0) for plan in product(*groups)]
    best = max((value for value, weight in plans if weight <= ceiling), default=None)
    of = table(groups, ceiling, error)
    found = dp_knapsack.solve(of)
    assert found is not None
    if best is None:
        assert not len(found)
        return
    assert of.weights[found].sum() <= ceiling
    assert best - error <= of.values[found].sum() <= best
    assert [np.searchsorted(of.starts, item, side="right") for item in found] == [
        *range(1, len(groups) + 1)
    ]


def test_too_many_states_are_left_to_the_other_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dp_knapsack, "MAX_STATES", 10)
    assert dp_knapsack.solve(table([[(1, 1), (2, 2)]] * 8, 20, 0.0)) is None


@pytest.mark.parametrize("rows", [1, 2])
def test_layers_that_repeat_are_solved_within_the_gap(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """150 layers of four kinds, with the same savings and nearly the same errors: branching
    takes minutes. The second limit is none."""
    monkeypatch.setattr(knapsack, "_by_highs", None)
    rng = np.random.default_rng(0)
    savings = np.sort(rng.uniform(1, 10, (4, 12)).round(2), axis=1)
    savings[:, 0] = 0
    errors = np.square(savings) * rng.uniform(0.9, 1.1, savings.shape)
    kinds = np.arange(150) % 4
    weights = np.stack([errors[k] * rng.uniform(0.999, 1.001, 12) for k in kinds]).ravel()
    limits = np.array([0.35 * weights.reshape(150, 12)[:, -1].sum(), np.inf])[:rows]
    problem = knapsack.Knapsack(
        savings[kinds].ravel(), np.tile(weights, (rows, 1)), limits, np.repeat(np.arange(150), 12)
    )
    found = knapsack.solve(problem)
    assert found is not None
    assert problem.fits(found.picks)
    assert found.gap(problem.value(found.picks)) <= knapsack.GAP
