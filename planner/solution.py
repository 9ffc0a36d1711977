"""The best plan by sums over layers whose *measured* loss keeps the limits.

What each choice costs is modelled (see `contributions`); the sum over a plan's layers is off by
a factor that is about the same for plans near each other. So the exact solver is asked, its plan
is measured, the budget is corrected by what was found, and the solver is asked again: three or
four measured plans are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import GoalNotReached
from ..search.network_model import SCALE
from ..search.space import Assignment, LayerChoices
from .problem import PlanProblem

STEPS = 6
"""Most plans that are measured on the way."""
CLOSE_ENOUGH = 0.94
"""A plan that uses this share of what may be lost, in squared error, is near enough."""
NARROW = 1.08
"""No further plan is measured between two budgets, one allowed and one that breaks a limit, which
are at most so many times apart."""
CORRECTIONS = 2
"""So many plans in a row that break a limit say nothing more than that; a further one says that the
loss does not follow the budget."""
START_ERROR = 0.1
"""Network error to begin with where only a score is limited."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A plan, the budget of modelled squared error that it is the best for, and the share of the
    limits that it uses, measured (0 where nothing is limited plan by plan)."""

    assignment: Assignment
    budget: float
    usage: float = 0.0

    @property
    def full_budget(self) -> float:
        """The budget whose plan is expected to use all of what may be lost."""
        return self.assignment.error_sq / self.usage if self.usage else self.budget


def solve_as_asked(
    problem: PlanProblem, layers: Sequence[LayerChoices], budget: float | None = None
) -> Solution:
    """The best additive plan, from a first budget of modelled squared error where a better one than
    the limit itself is known. Raises `GoalNotReached` where none keeps all constraints."""
    if not problem.constraints.judged:
        return _least_error(problem, layers)
    first = (problem.objective.max_error or START_ERROR) ** 2
    return solve_within(problem, layers, first if budget is None else budget)


def solve_within(problem: PlanProblem, layers: Sequence[LayerChoices], budget: float) -> Solution:
    """The plan that saves most and uses at most all of what may be lost, from a first `budget` of
    modelled squared error. Raises `GoalNotReached` where there is none."""
    best, saving_s = _nothing_lost(problem, layers), problem.solver.saving_s
    allowed, broken, seen, missed = 0.0, float("inf"), set[str](), 0
    for _ in range(STEPS):
        found = _measured(problem, layers, budget)
        if found is None:
            allowed = max(allowed, budget)
            budget = next_budget(budget, 0.0, allowed, broken)
            continue
        budget = min(budget, found.assignment.error_sq) if found.usage else budget
        if found.usage > 1:
            missed += not allowed
            broken = min(broken, budget)
        else:
            allowed = max(allowed, budget)
            if best is None or saving_s(found.assignment) >= saving_s(best.assignment):
                best = found
        if CLOSE_ENOUGH <= found.usage <= 1 or (found.usage <= 1 and found.assignment.key in seen):
            break
        if best is not None and best.assignment.decisions and problem.progress.over:
            break
        if broken <= NARROW * allowed:
            break
        seen.add(found.assignment.key)
        budget = next_budget(budget, found.usage, allowed, broken, max(0, missed - CORRECTIONS))
    if best is None:
        raise GoalNotReached("no plan keeps to all limits at once: relax one of them")
    return best


def next_budget(
    budget: float, usage: float, allowed: float, broken: float, missed: int = 0
) -> float:
    """The next budget of squared error: corrected by how far the measured loss was off, but
    between the largest budget that was allowed and the smallest that broke a limit. The loss of a
    network that has nothing left to lose does not follow the budget: where corrections have
    `missed` before anything was allowed, each goes four times further than the one before."""
    wanted = (CLOSE_ENOUGH + 1) / 2 / usage if usage else 4.0
    corrected = budget * min(4.0, max(0.25, wanted)) / 4.0**missed
    if allowed < corrected < broken:
        return corrected
    return float((allowed * broken) ** 0.5) if allowed else broken / 2


def _measured(
    problem: PlanProblem, layers: Sequence[LayerChoices], budget: float
) -> Solution | None:
    """The exact solution with the share of the limits that it uses; None where the other limits
    exclude so small an error."""
    try:
        plan = problem.solver.solve(layers, problem.constraints.limits(budget))
    except GoalNotReached:
        return None
    return Solution(plan, budget, problem.constraints.usage(plan))


def _nothing_lost(problem: PlanProblem, layers: Sequence[LayerChoices]) -> Solution | None:
    """The original, if it keeps the limits: that on parameters may exclude it."""
    plan = original(layers)
    return Solution(plan, 0.0) if problem.constraints.allow(plan) else None


def _least_error(problem: PlanProblem, layers: Sequence[LayerChoices]) -> Solution:
    """The plan of least modelled error that is predicted to reach the speedup asked for.

    The prediction is that a network saves `SCALE` of what its layers save alone.
    """
    assert problem.least_error_at is not None
    saving_s = problem.original_latency_s() * (1 - 1 / problem.least_error_at) / SCALE
    try:
        plan = problem.solver.solve(layers, problem.constraints.limits(min_saving_s=saving_s))
    except GoalNotReached:
        plan = problem.solver.solve(layers, problem.constraints.limits())
    return Solution(plan, plan.error_sq)


def original(layers: Sequence[LayerChoices]) -> Assignment:
    """The plan that changes nothing."""
    names = tuple(layer.name for layer in layers)
    return Assignment(names, tuple(layer.choices[0] for layer in layers))
