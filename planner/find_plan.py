"""From a problem to its plan: the steps of the search in their order."""

from __future__ import annotations

from dataclasses import dataclass

from .. import documents
from ..search.space import Assignment
from .additive import alternatives, solve_as_asked
from .plan_document import plan_document
from .problem import PlanProblem, choices
from .refinement import Refined, refine
from .studies import additive_study


@dataclass(frozen=True, slots=True)
class FoundPlan:
    """The plan, what it is short of (empty if it keeps every limit), and how it was chosen."""

    document: documents.Plan
    shortfall: str
    refined: Refined


def find_plan(problem: PlanProblem) -> FoundPlan:
    """The best plan there is. Raises `GoalNotReached` where none keeps all constraints."""
    solution = solve_as_asked(problem)
    refining = problem.options.refine and bool(problem.constraints.judged)
    others = alternatives(problem) if refining else []
    solution = solution.on(choices(problem))
    study = additive_study(problem, solution.layers, solution.budget)
    finalists = _allowed(problem, solution.assignment, study.best, *others)
    refined = refine(problem, solution.layers, finalists, solution.budget)
    document = plan_document(problem, solution.layers, refined, study)
    if (cache := problem.assembly.cache) is not None:
        cache.trim()
    return FoundPlan(document, _shortfall(problem, document), refined)


def _allowed(problem: PlanProblem, *plans: Assignment) -> list[Assignment]:
    """The different plans whose measured loss keeps the constraints."""
    different = {plan.key: plan for plan in plans}
    return [plan for plan in different.values() if problem.constraints.allow(plan)]


def _shortfall(problem: PlanProblem, document: documents.Plan) -> str:
    target, reached = problem.objective.target_speedup, document.predicted.speedup
    if target is None or (reached is not None and reached >= target):
        return ""
    best = "cannot be predicted" if reached is None else f"is predicted to reach {reached:.3f}"
    return f"the target speedup {target:g} was not reached: the best plan, which is kept, {best}"
