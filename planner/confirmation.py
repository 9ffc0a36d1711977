"""The winner is confirmed on pictures that nothing has read; see `promise`.

The search reads the select split again and again, and what it finds is a little lucky there. So
plans for rising errors, as the search expects them, are laid out before the confirm split is read,
and the last of them whose bound there keeps the limit wins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..errors import GoalNotReached
from ..search.space import Assignment, LayerChoices
from . import promise
from .builtin_constraints import ErrorLimit
from .problem import PlanProblem
from .promise import Interval
from .solution import Solution

LOWER = 0.25
"""Share of the modelled squared error at which a second plan says how measured errors fall with
modelled ones."""
SLOPES = (0.5, 1.3)
"""Least and largest power that is believed of this."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A plan, the interval of its error on new pictures, and how many plans were held against the
    limit."""

    assignment: Assignment
    interval: Interval
    looks: int


def confirmed(
    problem: PlanProblem, layers: Sequence[LayerChoices], solution: Solution
) -> Confirmed | None:
    """The last plan on the path that keeps the limit on the confirm split; None where even the
    first does not. `solution` uses about all of the limit on the select split."""
    held_back, limit = problem.evidence.confirm, problem.objective.max_error
    assert held_back is not None
    assert limit is not None
    steps = _path(problem, layers, solution, promise.path(limit))
    expected = [error for error, _ in steps]
    level, new = problem.options.confidence, problem.new_pictures
    searched = problem.evidence.select.of(solution.assignment.decisions)

    def interval_of(step: int) -> Interval:
        # How far pictures differ is about the same under all plans of the path.
        return promise.interval(held_back.of(steps[step][1].decisions), new, level, [searched])

    margin = promise.expected_margin(searched, held_back.inputs.pictures, new, level)
    start = promise.first_step(expected, limit, margin)
    found = promise.confirmed(expected, lambda step: interval_of(step).high, limit, start)
    if found.step is None:
        return None
    return Confirmed(steps[found.step][1], interval_of(found.step), found.looks)


def _path(
    problem: PlanProblem,
    layers: Sequence[LayerChoices],
    solution: Solution,
    errors: Sequence[float],
) -> list[tuple[float, Assignment]]:
    """Different plans of rising error that keep the other constraints, each with the error that is
    expected of it."""
    power = _power(problem, layers, solution)
    others = problem.constraints.without(ErrorLimit)
    limit = problem.objective.max_error or 1.0
    steps: dict[str, tuple[float, Assignment]] = {}
    for error in errors:
        budget = solution.full_budget * (error / limit) ** (2 / power)
        with suppress(GoalNotReached):  # other limits may exclude so small an error
            plan = problem.solver.solve(layers, problem.constraints.limits(budget))
            steps.setdefault(plan.key, (error, plan))
    return [step for step in steps.values() if others.allow(step[1])]


def _power(problem: PlanProblem, layers: Sequence[LayerChoices], solution: Solution) -> float:
    """With which power of modelled squared errors measured ones rise, below this solution."""
    with suppress(GoalNotReached):
        limits = problem.constraints.limits(LOWER * solution.budget)
        lower = problem.constraints.usage(problem.solver.solve(layers, limits))
        if solution.usage > lower > 0:
            found = math.log(lower / solution.usage) / math.log(LOWER)
            return min(max(found, SLOPES[0]), SLOPES[1])
    return 1.0
