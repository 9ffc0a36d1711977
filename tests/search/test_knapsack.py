"""The steps of the knapsack's solution: what each leaves to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize

from rankwise.search import knapsack

GROUPS, ITEMS = 15, 40


def opposed_limits(seed: int) -> knapsack.Knapsack:
    """What is light for one limit is heavy for the other, so rising prices find nothing that
    fits."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0, 1, GROUPS * ITEMS)
    weights = np.stack([weight, 1 - weight + rng.uniform(0, 0.1, len(weight))])
    limits = np.array([GROUPS / 2, GROUPS / 2 + 0.6])
    owner = np.repeat(np.arange(GROUPS), ITEMS)
    return knapsack.Knapsack(rng.uniform(0, 1, len(weight)), weights, limits, owner)


@pytest.mark.parametrize("seed", [0, 2])
def test_a_core_of_promising_items_leaves_few_to_be_searched(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    highs = scipy.optimize.milp

    def counted(costs: Any, **options: Any) -> Any:
        searched.append(len(costs))
        return highs(costs, **options)

    monkeypatch.setattr(scipy.optimize, "milp", counted)
    monkeypatch.setattr(knapsack, "CORE", 30)
    problem = opposed_limits(seed)
    found = knapsack.solve(problem)
    assert found is not None
    assert found.gap(problem.value(found.picks)) <= knapsack.GAP
    core, *others = searched
    assert core == 2 * GROUPS + 30
    assert all(count < GROUPS * ITEMS / 5 for count in others)
