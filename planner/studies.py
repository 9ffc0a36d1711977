"""An Optuna study of a problem, kept in a file beside the store: a later run goes on from there.

It looks for a plan by sums of what layers save, of which the exact solution is proven to be within
1e-4 of the best: what a sampler adds to that is for those who want to see it (`--trials`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..db.url import companion
from ..search.space import LayerChoices
from ..search.study import StudyResult, TrialEvent, run_study
from .problem import PlanProblem
from .solution import Solution


def additive_study(
    problem: PlanProblem, layers: Sequence[LayerChoices], budget: float
) -> StudyResult:
    """Look for a plan better than the exact solution, within a budget of modelled error."""
    trials, options = problem.options.trials, problem.options

    def on_trial(event: TrialEvent) -> None:
        problem.reporter.progress(event.number + 1, trials, "Optuna study")

    return run_study(
        layers,
        problem.constraints.limits(budget),
        trials=trials,
        sampler=options.sampler,
        seed=options.seed,
        # Without trials there is nothing to go on with: the journal need not be read.
        storage=companion(options.db, ".optuna.journal") if trials else None,
        study_name=problem.study_name(budget),
        on_trial=on_trial,
        modes=problem.modes if options.candidate_policy.searched else None,
    )


def with_study(
    problem: PlanProblem, layers: Sequence[LayerChoices], solution: Solution
) -> Solution:
    """The solution, or a study's best plan if that saves more and keeps the constraints."""
    best = additive_study(problem, layers, solution.budget).best
    if best.saving_s <= solution.assignment.saving_s or not problem.constraints.allow(best):
        return solution
    return Solution(best, solution.budget, problem.constraints.usage(best))
