"""The best sum whose measured loss keeps the limits."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rankwise.errors import GoalNotReached
from rankwise.planner import solution
from rankwise.planner.solution import Solution, next_budget, original, solve_within
from rankwise.records import Decomposition
from rankwise.search.exact import SolverLimits
from rankwise.search.solver import OneDevice
from rankwise.search.space import Assignment, Choice, LayerChoices

CHOICES = [
    Choice(Decomposition("svd", (rank,)), 100.0 - rank, 0.0, 1e-4 * (100 - rank) / 20)
    for rank in range(1, 100)
]
LAYERS = [LayerChoices(f"l{n}", "k", (Choice(), *CHOICES)) for n in range(30)]


def problem(usage: Callable[[Assignment], float], over: bool = False) -> Any:
    constraints = SimpleNamespace(
        limits=SolverLimits, usage=usage, allow=lambda plan: usage(plan) <= 1
    )
    progress = SimpleNamespace(over=over)
    return SimpleNamespace(constraints=constraints, progress=progress, solver=OneDevice())


@pytest.mark.parametrize(
    "loss", [lambda e: e / 0.01, lambda e: e / 1e-3, lambda e: (e / 0.008) ** 2]
)
def test_the_loss_is_within_the_limit_and_near_it(loss: Callable[[float], float]) -> None:
    measured: list[float] = []

    def usage(plan: Assignment) -> float:
        measured.append(plan.error_sq)
        return loss(plan.error_sq)

    found = solve_within(problem(usage), LAYERS, 0.01)
    assert 0.85 < loss(found.assignment.error_sq) <= 1
    assert found.assignment.error_sq <= found.budget * (1 + 1e-9)
    assert found.full_budget == pytest.approx(found.assignment.error_sq / found.usage)
    assert len(measured) <= solution.STEPS + 1


def test_an_original_that_breaks_a_limit_is_no_plan() -> None:
    with pytest.raises(GoalNotReached):
        solve_within(problem(lambda _: 2.0), LAYERS[:1], 0.01)


def test_a_plan_that_uses_all_there_is_ends_the_search() -> None:
    asked: list[str] = []

    def usage(plan: Assignment) -> float:
        asked.append(plan.key)
        return 0.01 * plan.error_sq

    found = solve_within(problem(usage), LAYERS[:2], 1.0)
    assert {c.decomposition.ranks for c in found.assignment.choices} == {(1,)}
    assert len(asked) == 3  # the original, the plan, and the same plan for a larger budget


def test_time_that_is_up_leaves_the_best_plan_so_far() -> None:
    found = solve_within(problem(lambda plan: plan.error_sq / 0.01, over=True), LAYERS, 1e-3)
    assert found.usage == pytest.approx(0.1, rel=0.1)


def test_a_budget_that_was_broken_bounds_the_next_one() -> None:
    assert next_budget(0.5, 2.0, 0.0, float("inf")) == pytest.approx(0.97 / 4)
    assert next_budget(0.5, 0.5, 0.5, 0.9) == pytest.approx((0.5 * 0.9) ** 0.5)
    assert next_budget(0.5, 0.0, 0.5, float("inf")) == 2.0


def test_nothing_is_used_of_a_plan_without_measured_limits() -> None:
    nothing = original(LAYERS)
    assert not nothing.decisions
    assert Solution(nothing, 0.25).full_budget == 0.25


def test_budgets_that_are_nearly_equal_are_not_measured() -> None:
    """Where the measured loss jumps no plan is near the limit from below."""
    asked: list[float] = []

    def usage(plan: Assignment) -> float:
        asked.append(plan.error_sq)
        return 0.5 if plan.error_sq < 0.0098 else 1.1

    found = solve_within(problem(usage), LAYERS, 0.01)
    assert found.usage == 0.5
    assert found.assignment.error_sq > 0.0098 / solution.NARROW
    assert len(asked) < solution.STEPS


def test_a_network_that_has_nothing_left_to_lose_gets_a_plan() -> None:
    """Its loss stays just above the limit down to a hundredth of the budget."""

    def usage(plan: Assignment) -> float:
        return max(1.1, 1.5 * plan.error_sq / 0.01) if plan.error_sq > 1e-4 else 0.5

    found = solve_within(problem(usage), LAYERS, 0.01)
    assert found.assignment.decisions
    assert found.usage == 0.5
