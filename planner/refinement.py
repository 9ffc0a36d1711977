"""Finalists timed as whole networks, and what a plan may promise.

The finalists, a few plans at other error budgets and random halves of the best finalist are
timed against the original; `search.network_model` is fitted on all of these runs. It says
what each candidate saves *inside* the network, so the search is asked again with those
savings, and what it finds is timed, too, until it finds nothing new. Measured trials follow.
The winner and the exact solution are then timed afresh, beside each other: what was chosen
for a lucky run must not be promised for it. A plan's promise rests on the model and on its own
runs (the document says so); `model_error` is how far off the model is for a plan whose own
runs it is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import documents
from ..errors import GoalNotReached
from ..search.exact import SolverLimits, solve
from ..search.network_model import PlanParts
from ..search.space import Assignment, LayerChoices
from .problem import PlanProblem
from .studies import measured_trials
from .whole_runs import Runs, as_measured, cannot_time, network_model, part_of, plan_of, timed

TRAINING_BUDGETS = (0.3, 2.0)
"""Plans that the latency model is fitted on: these multiples of the squared error budget."""
RANDOM_HALVES = 4
"""Further plans to fit it on: each layer of the best finalist is replaced or not by lot."""
MAX_ROUNDS = 3
"""Times that the search is asked again with savings in the network."""
AIM = 1.01
"""A plan for a target speedup is solved for so much more than it: it has to reach it when it is
timed, too."""


@dataclass(frozen=True, slots=True)
class Refined:
    """`in_network`: what each replaced layer is thought to save in the network, in seconds;
    `seed_speedup`: of the exact solution, timed beside the winner (None: not timed);
    `trial` and `trial_speedup`: the best of the measured trials, if one kept the limits."""

    winner: Assignment
    predicted: documents.Predicted
    in_network: Mapping[str, float] = field(default_factory=dict)
    seed_speedup: float | None = None
    trial: Assignment | None = None
    trial_speedup: float | None = None


def refine(
    problem: PlanProblem,
    layers: Sequence[LayerChoices],
    finalists: Sequence[Assignment],
    budget: float,
) -> Refined:
    """The plan whose whole network is fastest, or that loses least at the speedup asked for; the
    original if none is faster than it.

    The first of `finalists` is the exact solution. Without refinement the finalist with the
    most saving wins, and the promise rests on the sum of isolated latencies.
    """
    candidates = [a for a in finalists if a.decisions]
    reason = cannot_time(problem)
    if problem.options.refine and reason:
        problem.reporter.message(f"not refined in the network: {reason}")
    if reason or not candidates or not problem.options.refine:
        best = max(candidates, key=lambda a: a.saving_s, default=_original(layers))
        return Refined(best, promise(problem, best, {}))
    return _measured(problem, layers, candidates, budget)


def _measured(
    problem: PlanProblem,
    layers: Sequence[LayerChoices],
    candidates: Sequence[Assignment],
    budget: float,
) -> Refined:
    problem.reporter.message("timing finalists as whole networks")
    finalists = {assignment.key: assignment for assignment in candidates}
    best = max(candidates, key=lambda a: a.saving_s)
    training = _training_plans(layers, best, budget, problem.options.seed)
    runs, tried = timed(problem, [*candidates, *training]), Runs()
    # A limit on parameters may need choices that save nothing in the network.
    with suppress(GoalNotReached):
        for _ in range(MAX_ROUNDS):
            better = as_measured(layers, _solved_again(problem, layers, runs, budget))
            known = better.key in finalists
            if known or not better.decisions or not problem.constraints.allow(better):
                break
            problem.reporter.message("timing what the search finds with savings in the network")
            runs |= timed(problem, [better])
            finalists[better.key] = better
        if problem.least_error_at is None:  # trials look for more speed
            tried = measured_trials(problem, layers, _in_network(problem, layers, runs), budget)
        finalists |= {assignment.key: assignment for assignment, _ in tried.values()}
        runs |= tried
    model = network_model(problem, runs)
    best = _best(problem, finalists.values(), lambda a: model.forecast(plan_of(a)).speedup)
    trial = next((assignment for assignment, _ in tried.values()), None)
    return _remeasure_finalists(problem, layers, (best, candidates[0], trial), runs)


def _solved_again(
    problem: PlanProblem, layers: Sequence[LayerChoices], runs: Runs, budget: float
) -> Assignment:
    """The best plan by what layers save in the network. Raises `GoalNotReached`."""
    corrected = _in_network(problem, layers, runs)
    target = problem.least_error_at
    if target is None:
        return solve(corrected, problem.constraints.limits(budget))
    saving_s = network_model(problem, runs).original_s * (1 - 1 / (AIM * target))
    return solve(corrected, problem.constraints.limits(min_saving_s=saving_s))


def _best(
    problem: PlanProblem, plans: Collection[Assignment], speedup: Callable[[Assignment], float]
) -> Assignment:
    """The fastest; where a speedup is all that was asked for, what loses least of those that
    reach it."""
    target = problem.least_error_at
    reaching = [one for one in plans if target is not None and speedup(one) >= target]
    if reaching:
        return min(reaching, key=lambda one: problem.sensitivity.error(one.decisions).value)
    return max(plans, key=speedup)


def _remeasure_finalists(
    problem: PlanProblem,
    layers: Sequence[LayerChoices],
    last: tuple[Assignment, Assignment, Assignment | None],
    runs: Runs,
) -> Refined:
    """The best finalist, the exact solution and the best trial (if there is one), timed once
    more beside each other."""
    problem.reporter.message("timing the winner afresh")
    _, seed, trial = last
    these = {assignment.key: assignment for assignment in last if assignment}
    fresh = timed(problem, list(these.values()), purpose=f"final of {sorted(these)}")
    speedups = {assignment.key: run.speedup for assignment, run in fresh.values()}
    winner = _best(problem, these.values(), lambda a: speedups[a.key])
    runs = runs | fresh
    beside: dict[str, Any] = {
        "seed_speedup": speedups[seed.key],
        "trial": trial,
        "trial_speedup": speedups[trial.key] if trial else None,
    }
    if next(run.speedup_low for one, run in fresh.values() if one.key == winner.key) <= 1:
        nothing = _original(layers)
        return Refined(nothing, promise(problem, nothing, runs), **beside)
    savings = network_model(problem, runs).savings(plan_of(winner))
    in_network = dict(zip(winner.decisions, savings, strict=True))
    return Refined(winner, promise(problem, winner, runs), in_network, **beside)


def _training_plans(
    layers: Sequence[LayerChoices], best: Assignment, budget: float, seed: int
) -> list[Assignment]:
    """Plans that differ from each other in what they replace, so that runs can tell which
    layers the savings come from. They need not keep the error limit: nobody applies them."""
    rng = np.random.default_rng(seed)
    pairs = list(zip(best.choices, _original(layers).choices, strict=True))
    halves = [
        tuple(kept if heads else first for (kept, first), heads in zip(pairs, drawn, strict=True))
        for drawn in rng.random((RANDOM_HALVES, len(pairs))) < 0.5
    ]
    return [
        *(solve(layers, SolverLimits(share * budget)) for share in TRAINING_BUDGETS),
        *(Assignment(best.names, half) for half in halves),
    ]


def _in_network(
    problem: PlanProblem, layers: Sequence[LayerChoices], runs: Runs
) -> list[LayerChoices]:
    """The layers' choices with what they save in the network instead of alone; those that
    save nothing there are left out."""
    model = network_model(problem, runs)

    def corrected(layer: LayerChoices) -> LayerChoices:
        parts = tuple(part_of(layer.spec_key, choice) for choice in layer.choices[1:])
        return layer.with_savings(model.savings(PlanParts("", parts)))

    return [corrected(layer) for layer in layers]


def _original(layers: Sequence[LayerChoices]) -> Assignment:
    names = tuple(layer.name for layer in layers)
    return Assignment(names, tuple(layer.choices[0] for layer in layers))


def promise(problem: PlanProblem, chosen: Assignment, runs: Runs) -> documents.Predicted:
    """What the latency model says of `chosen`."""
    if not runs and not problem.original_latency_s():  # nothing applies to this network
        return documents.Predicted(
            latency_s=None,
            speedup=1.0,
            speedup_low=1.0,
            speedup_high=1.0,
            network_error=0.0,
            model_error=None,
        )
    model, decisions = network_model(problem, runs), chosen.decisions
    forecast = model.forecast(plan_of(chosen))
    return documents.Predicted(
        latency_s=model.original_s / forecast.speedup,
        speedup=forecast.speedup,
        speedup_low=forecast.speedup_low,
        speedup_high=forecast.speedup_high,
        network_error=problem.sensitivity.error(decisions).value,
        network_error_measured=problem.sensitivity.is_measured(decisions),
        model_error=model.held_out(),
        runs=len(runs),
        own_run=forecast.own_run,
    )
