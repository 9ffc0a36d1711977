"""Optuna trials that assemble the network: real latency, real fidelity, whatever sums say.

The study starts from exact solutions for savings that are off by chance, each near the best,
unlike the others and within the limits by measured loss, and goes on from what was measured of
them. A plan may break the budget of *modelled* error by `ERROR_SLACK`: what counts is what the
assembled network loses.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..db.url import companion
from ..errors import GoalNotReached
from ..search.exact import solve
from ..search.space import Assignment, LayerChoices
from ..search.study import TrialEvent, run_study
from .repair import fill_slack
from .whole_runs import Runs, as_measured, timed

if TYPE_CHECKING:
    from .planner import Planner

ERROR_SLACK = 1.3
"""Of the budget of modelled squared error."""
SAVING_JITTER = 0.2
"""Relative standard deviation by which savings are moved for the plans that are tried first."""
PURPOSE = "trial"


def measured_trials(
    planner: Planner,
    layers: Sequence[LayerChoices],
    corrected: Sequence[LayerChoices],
    budget: float,
) -> Runs:
    """The best of `planner.options.measured_trials` plans, with its run; nothing where none
    keeps the limits. `corrected` are the layers with what they save in the network."""
    trials = planner.options.measured_trials
    if not trials:
        return {}
    room = ERROR_SLACK * budget
    result = run_study(
        corrected,
        max_error_sq=room,
        max_params=planner.limits.max_params,
        trials=trials,
        sampler=planner.options.sampler,
        seed=planner.options.seed,
        storage=companion(planner.options.db, ".optuna.journal"),
        study_name=planner.study_name(budget),
        on_trial=lambda event: _tell(planner, event),
        measured=lambda assignment: _value(planner, layers, assignment),
        first=_first(planner, corrected, budget, trials),
        modes=planner.modes if planner.options.candidate_policy.searched else None,
    )
    best = as_measured(layers, result.best)
    if result.value <= 0 or not planner.allows(best):
        return {}
    return _timed(planner, best)


def _first(
    planner: Planner, layers: Sequence[LayerChoices], budget: float, trials: int
) -> list[Assignment]:
    """The exact solution, and plans for savings that are a little off. The latter keep the
    limits by what they lose and leave no room: a trial that breaks them teaches little."""
    rng = np.random.default_rng(planner.options.seed)
    most = planner.limits.max_params
    found = [solve(layers, max_error_sq=budget, max_params=most)]
    for _ in range(trials // 2):
        doubted = [_doubted(layer, rng) for layer in layers]
        if planner.quality.limited:
            with suppress(GoalNotReached):
                best, _ = planner.solve_exactly(doubted)
                found.append(fill_slack(doubted, planner.limits, planner.quality, best))
        else:
            room = rng.uniform(1, ERROR_SLACK) * budget
            found.append(solve(doubted, max_error_sq=room, max_params=most))
    return [as_measured(layers, one) for one in found]


def _doubted(layer: LayerChoices, rng: np.random.Generator) -> LayerChoices:
    original, *others = layer.choices
    factors = 1 + SAVING_JITTER * rng.standard_normal(len(others))
    moved = (replace(c, saving_s=c.saving_s * f) for c, f in zip(others, factors, strict=True))
    return replace(layer, choices=(original, *(c for c in moved if c.saving_s > 0)))


def _value(planner: Planner, layers: Sequence[LayerChoices], assignment: Assignment) -> float:
    """Seconds that the whole network saves, or less than nothing by how far it breaks a limit."""
    plan = as_measured(layers, assignment)
    usage = planner.quality.usage(plan.decisions)
    if usage > 1:
        return planner.original_latency_s() * (1 - usage)
    return sum(run.original_latency_s - run.latency_s for _, run in _timed(planner, plan).values())


def _timed(planner: Planner, plan: Assignment) -> Runs:
    return timed(planner, [plan], PURPOSE, preparations=1)


def _tell(planner: Planner, event: TrialEvent) -> None:
    trials = planner.options.measured_trials
    planner.reporter.progress(event.number + 1, trials, "measured trials of whole networks")
