"""Optuna studies of a problem, kept in a file beside the store: a later run goes on from there.

One looks for a plan better than the exact solution by sums of what layers save. The other's
trials assemble the network: real latency, real fidelity, whatever sums say. It starts from exact
solutions for savings that are off by chance, each near the best, unlike the others and within
the limits by measured loss, and goes on from what was measured of them. A plan may break the
budget of *modelled* error by `ERROR_SLACK`: what counts is what the assembled network loses.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from ..db.url import companion
from ..errors import GoalNotReached
from ..search.exact import SolverLimits, solve
from ..search.space import Assignment, LayerChoices
from ..search.study import StudyResult, TrialEvent, run_study
from .additive import solve_exactly
from .problem import PlanProblem
from .repair import fill_slack
from .whole_runs import Runs, as_measured, timed

ERROR_SLACK = 1.3
"""A trial may use this much of the budget of modelled squared error."""
SAVING_JITTER = 0.2
"""Relative standard deviation by which savings are moved for the plans that are tried first."""
PURPOSE = "trial"


def additive_study(
    problem: PlanProblem, layers: Sequence[LayerChoices], budget: float
) -> StudyResult:
    """Look for a plan better than the exact solution, by sums of what layers save."""
    limits, trials = problem.constraints.limits(budget), problem.options.trials
    return _study(problem, layers, limits, budget, trials, "Optuna study")


def _study(
    problem: PlanProblem,
    layers: Sequence[LayerChoices],
    limits: SolverLimits,
    budget: float,
    trials: int,
    said: str,
    **options: Any,
) -> StudyResult:
    """Run `trials` of a study of which `budget` is part of the name; `said` is what is reported of
    each, and `options` are further ones of `run_study`."""

    def on_trial(event: TrialEvent) -> None:
        problem.reporter.progress(event.number + 1, trials, said)

    return run_study(
        layers,
        limits,
        trials=trials,
        sampler=problem.options.sampler,
        seed=problem.options.seed,
        # Without trials there is nothing to go on with: the journal need not be read.
        storage=companion(problem.options.db, ".optuna.journal") if trials else None,
        study_name=problem.study_name(budget),
        on_trial=on_trial,
        modes=problem.modes if problem.options.candidate_policy.searched else None,
        **options,
    )


def measured_trials(
    problem: PlanProblem,
    layers: Sequence[LayerChoices],
    corrected: Sequence[LayerChoices],
    budget: float,
) -> Runs:
    """The best of `options.measured_trials` plans, with its run; nothing where none keeps the
    constraints. `corrected` are the layers with what they save in the network."""
    trials = problem.options.measured_trials
    if not trials:
        return {}
    result = _study(
        problem,
        corrected,
        problem.constraints.limits(ERROR_SLACK * budget),
        budget,
        trials,
        "measured trials of whole networks",
        measured=partial(_value, problem, layers),
        first=_first(problem, corrected, budget, trials),
    )
    best = as_measured(layers, result.best)
    if result.value <= 0 or not problem.constraints.allow(best):
        return {}
    return _timed(problem, best)


def _first(
    problem: PlanProblem, layers: Sequence[LayerChoices], budget: float, trials: int
) -> list[Assignment]:
    """The exact solution, and plans for savings that are a little off. The latter keep the
    constraints by what they lose and leave no room: a trial that breaks them teaches little."""
    rng, constraints = np.random.default_rng(problem.options.seed), problem.constraints
    plans = [solve(layers, constraints.limits(budget))]
    for _ in range(trials // 2):
        doubted = [_doubted(layer, rng) for layer in layers]
        if constraints.judged:
            with suppress(GoalNotReached):
                best, _ = solve_exactly(problem, doubted)
                limits = constraints.limits()
                plans.append(fill_slack(doubted, limits, constraints.usage, best))
        else:
            room = rng.uniform(1, ERROR_SLACK) * budget
            plans.append(solve(doubted, constraints.limits(room)))
    return [as_measured(layers, one) for one in plans]


def _doubted(layer: LayerChoices, rng: np.random.Generator) -> LayerChoices:
    savings_s = np.array([choice.saving_s for choice in layer.choices[1:]])
    factors = 1 + SAVING_JITTER * rng.standard_normal(len(savings_s))
    return layer.with_savings((savings_s * factors).tolist())


def _value(problem: PlanProblem, layers: Sequence[LayerChoices], assignment: Assignment) -> float:
    """Seconds that the whole network saves, or less than nothing by how far a limit is broken."""
    plan = as_measured(layers, assignment)
    usage = problem.constraints.usage(plan)
    if usage > 1:
        return problem.original_latency_s() * (1 - usage)
    return sum(run.original_latency_s - run.latency_s for _, run in _timed(problem, plan).values())


def _timed(problem: PlanProblem, plan: Assignment) -> Runs:
    return timed(problem, [plan], PURPOSE, preparations=1)
