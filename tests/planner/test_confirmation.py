"""Plans of a path held against a limit on pictures that the search has not read."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rankwise.models.network_error import NetworkError
from rankwise.planner.builtin_constraints import ErrorLimit, ParameterLimit
from rankwise.planner.confirmation import confirmed
from rankwise.planner.constraint import Constraints
from rankwise.planner.promise import interval
from rankwise.planner.solution import Solution, original
from rankwise.records import Decomposition
from rankwise.search.exact import SolverLimits
from rankwise.search.exact import solve as exact
from rankwise.search.space import Assignment, Choice, LayerChoices

CHOICES = [
    Choice(Decomposition("svd", (rank,)), 100.0 - rank, 0.0, 1e-4 * (100 - rank) / 20, rank)
    for rank in range(1, 100)
]
LAYERS = [LayerChoices(f"l{n}", "k", (Choice(params=100), *CHOICES)) for n in range(20)]
LIMIT, LEVEL, NEW = 0.05, 0.9, 12
POWER = 0.9
"""Measured squared errors rise with that power of modelled ones."""


@cache
def best(limits: SolverLimits) -> Assignment:
    """The solver's plan, found once: tests ask for the same ones again and again."""
    return exact(LAYERS, limits)


def error(plan: Assignment, factor: float, pictures: int) -> NetworkError:
    """Whose value is the plan's modelled error, to the power, times a factor."""
    squared = factor**2 * LIMIT**2 * (plan.error_sq / LIMIT**2) ** POWER
    spread = np.linspace(0.7, 1.3, pictures)[:, None]
    return NetworkError(("y",), squared * spread, np.ones((pictures, 1)), np.ones(1))


SEARCHED = error(best(SolverLimits(LIMIT**2)), 1.0, 10)
"""Of the plan that the search found, on the pictures that it read."""


class Measured:
    """Errors by decisions; tells a log that pictures are read."""

    def __init__(self, log: list[Any], word: str, factor: float, pictures: int) -> None:
        self.log, self.word, self.factor, self.pictures = log, word, factor, pictures
        self.inputs = SimpleNamespace(pictures=pictures)

    def of(self, decisions: Any) -> NetworkError:
        self.log.append(self.word)
        chosen = [
            next(c for c in layer.choices if c.decomposition == decisions[layer.name])
            if layer.name in decisions
            else layer.choices[0]
            for layer in LAYERS
        ]
        plan = Assignment(tuple(one.name for one in LAYERS), tuple(chosen))
        return error(plan, self.factor, self.pictures)


@pytest.fixture
def log() -> list[Any]:
    """Plans that are solved for, and words of splits that are read, in their order."""
    return []


@pytest.fixture
def problem(log: list[Any]) -> Callable[..., Any]:
    def make(factor: float, *others: Any, level: float = LEVEL) -> Any:
        def solve(layers: list[LayerChoices], limits: SolverLimits) -> Assignment:
            assert layers is LAYERS
            log.append(best(limits))
            return log[-1]  # type: ignore[no-any-return]

        assembly: Any = SimpleNamespace(specs=dict.fromkeys((one.name for one in LAYERS), object()))
        select, confirm = Measured(log, "select", 1.0, 10), Measured(log, "confirm", factor, 8)
        errors: Any = select
        return SimpleNamespace(
            objective=SimpleNamespace(max_error=LIMIT),
            options=SimpleNamespace(confidence=level),
            new_pictures=NEW,
            solver=SimpleNamespace(solve=solve),
            evidence=SimpleNamespace(select=select, confirm=confirm),
            constraints=Constraints.of([ErrorLimit(LIMIT, errors), *others], assembly),
        )

    return make


def solution() -> Solution:
    """The plan that uses all that may be lost, by what the search knows."""
    plan = best(SolverLimits(LIMIT**2))
    return Solution(plan, LIMIT**2, (plan.error_sq / LIMIT**2) ** POWER)


def bound(plan: Assignment, factor: float) -> float:
    return interval(error(plan, factor, 8), NEW, LEVEL, [SEARCHED]).high


@pytest.mark.parametrize("factor", [0.6, 0.9, 1.0, 1.3, 3.0])
def test_the_last_plan_that_keeps_the_limit_wins(
    problem: Callable[..., Any], log: list[Any], factor: float
) -> None:
    found = confirmed(problem(factor), LAYERS, solution())
    assert found is not None
    plans = [one for one in log if isinstance(one, Assignment)]
    bounds = {bound(one, factor) for one in plans}
    assert found.interval.high == max(one for one in bounds if one <= LIMIT)
    assert found.interval == interval(error(found.assignment, factor, 8), NEW, LEVEL, [SEARCHED])
    # The path is a few percent from plan to plan, and ends a little above the limit.
    assert found.interval.high > 0.95 * min(LIMIT, max(bounds))
    assert 1 <= found.looks <= 8


def test_the_path_is_laid_out_before_pictures_are_read(
    problem: Callable[..., Any], log: list[Any]
) -> None:
    confirmed(problem(1.0), LAYERS, solution())
    first = log.index("confirm")
    assert not any(isinstance(one, Assignment) for one in log[first:])
    path = [one for one in log[:first] if isinstance(one, Assignment)][1:]  # the first is a probe
    errors = [one.error_sq for one in path]
    assert errors == sorted(errors)
    assert len(path) > 50
    # As the search expects them, in its own power law: from a tenth of the limit to just above it.
    measured = [error(one, 1.0, 8).value / LIMIT for one in (path[0], path[-1])]
    assert measured == pytest.approx([0.1, 1.05], rel=0.05)


def test_looks_are_few_where_the_search_was_right(
    problem: Callable[..., Any], log: list[Any]
) -> None:
    found = confirmed(problem(1.0), LAYERS, solution())
    assert found is not None
    assert found.looks <= 4
    assert log.count("confirm") == found.looks + 1  # the winner's interval is said again


def test_more_confidence_has_a_safer_winner(problem: Callable[..., Any]) -> None:
    lost = []
    for level in (0.5, 0.9, 0.99):
        found = confirmed(problem(1.0, level=level), LAYERS, solution())
        assert found is not None
        assert found.interval.level == level
        lost.append(found.assignment.error_sq)
    assert lost[0] > lost[1] > lost[2]


def test_none_keeps_a_limit_that_the_search_has_dreamt_of(problem: Callable[..., Any]) -> None:
    assert confirmed(problem(20.0), LAYERS, solution()) is None


def test_other_limits_cut_the_path(problem: Callable[..., Any]) -> None:
    """Small errors need too many parameters, large ones more layers than the user's own allows."""
    free = confirmed(problem(1.0), LAYERS, solution())
    assert free is not None
    params = ParameterLimit(free.assignment.params + 20)
    some = SimpleNamespace(name="few", usage=lambda plan, _: plan.error_sq / free_error)
    free_error = 0.9 * free.assignment.error_sq
    found = confirmed(problem(1.0, params), LAYERS, solution())
    assert found is not None
    assert found.assignment.params <= params.limit
    found = confirmed(problem(1.0, some), LAYERS, solution())
    assert found is not None
    assert 0.8 * free_error < found.assignment.error_sq <= free_error
    assert confirmed(problem(1.0, ParameterLimit(1.0)), LAYERS, solution()) is None


def test_an_original_that_nothing_beats_is_confirmed(problem: Callable[..., Any]) -> None:
    found = confirmed(problem(1.0), LAYERS, Solution(original(LAYERS), 0.0))
    assert found is not None
    assert not found.assignment.decisions
    assert found.interval.high == 0
