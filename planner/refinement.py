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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import documents
from ..errors import GoalNotReached
from ..search.exact import solve, solve_within
from ..search.network_model import PlanParts
from ..search.space import Assignment, LayerChoices
from .measured_trials import measured_trials
from .whole_runs import (
    Runs,
    as_measured,
    cannot_time,
    network_model,
    part_of,
    plan_of,
    timed,
)

if TYPE_CHECKING:
    from .planner import Planner

TRAINING_BUDGETS = (0.3, 2.0)
"""Plans that the latency model is fitted on: these multiples of the squared error budget."""
RANDOM_HALVES = 4
"""Further plans to fit it on: each layer of the best finalist is replaced or not by lot."""
MAX_ROUNDS = 3
"""Times that the search is asked again with savings in the network."""
AIM = 1.01
"""A plan for a target speedup is solved for so much more than it: it has to reach it when it is
timed, too."""

UNCHANGED = documents.Predicted(
    latency_s=None,
    speedup=1.0,
    speedup_low=1.0,
    speedup_high=1.0,
    network_error=0.0,
    model_error=None,
)
"""The promise of a network that nothing was measured of, because nothing applies to it."""


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
    planner: Planner,
    layers: Sequence[LayerChoices],
    finalists: Sequence[Assignment],
    budget: float,
) -> Refined:
    """The plan whose whole network is fastest, or that loses least at the speedup asked for; the
    original if none is faster than it.

    The first of `finalists` is the exact solution. Without refinement the finalist with the
    most saving wins, and the promise rests on the sum of isolated latencies.
    """
    nothing = _original(layers)
    candidates = [a for a in finalists if a.decisions]
    reason = cannot_time(planner)
    if planner.options.refine and reason:
        planner.reporter.message(f"not refined in the network: {reason}")
    if not candidates:
        return Refined(nothing, promise(planner, nothing, {}))
    if reason or not planner.options.refine:
        best = max(candidates, key=lambda a: a.saving_s)
        return Refined(best, promise(planner, best, {}))
    return _measured(planner, layers, candidates, budget)


def _measured(
    planner: Planner,
    layers: Sequence[LayerChoices],
    candidates: Sequence[Assignment],
    budget: float,
) -> Refined:
    planner.reporter.message("timing finalists as whole networks")
    finalists = {assignment.key: assignment for assignment in candidates}
    best = max(candidates, key=lambda a: a.saving_s)
    training = _training_plans(layers, best, budget, planner.options.seed)
    runs, tried = timed(planner, [*candidates, *training]), Runs()
    # A limit on parameters may need choices that save nothing in the network.
    with suppress(GoalNotReached):
        for _ in range(MAX_ROUNDS):
            better = as_measured(layers, _solved_again(planner, layers, runs, budget))
            if better.key in finalists or not better.decisions or not planner.allows(better):
                break
            planner.reporter.message("timing what the search finds with savings in the network")
            runs |= timed(planner, [better])
            finalists[better.key] = better
        if planner.least_error_at is None:  # trials look for more speed
            tried = measured_trials(planner, layers, _in_network(planner, layers, runs), budget)
        finalists |= {assignment.key: assignment for assignment, _ in tried.values()}
        runs |= tried
    model = network_model(planner, runs)
    best = _best(planner, finalists.values(), lambda a: model.forecast(plan_of(a)).speedup)
    trial = next((assignment for assignment, _ in tried.values()), None)
    return _remeasure_finalists(planner, layers, (best, candidates[0], trial), runs)


def _solved_again(
    planner: Planner, layers: Sequence[LayerChoices], runs: Runs, budget: float
) -> Assignment:
    """With what layers save in the network. Raises `GoalNotReached`."""
    corrected = _in_network(planner, layers, runs)
    target = planner.least_error_at
    if target is None:
        return solve(corrected, max_error_sq=budget, max_params=planner.limits.max_params)
    saving = network_model(planner, runs).original_s * (1 - 1 / (AIM * target))
    return solve_within(corrected, replace(planner.limits, min_saving_s=saving))


def _best(
    planner: Planner, found: Collection[Assignment], speedup: Callable[[Assignment], float]
) -> Assignment:
    """The fastest; where a speedup is all that was asked for, what loses least of those that
    reach it."""
    target = planner.least_error_at
    reaching = [one for one in found if target is not None and speedup(one) >= target]
    if reaching:
        return min(reaching, key=lambda one: planner.quality.error(one.decisions).value)
    return max(found, key=speedup)


def _remeasure_finalists(
    planner: Planner,
    layers: Sequence[LayerChoices],
    last: tuple[Assignment, Assignment, Assignment | None],
    runs: Runs,
) -> Refined:
    """The best finalist, the exact solution and the best trial (if there is one), timed once
    more beside each other."""
    planner.reporter.message("timing the winner afresh")
    _, seed, trial = last
    these = {assignment.key: assignment for assignment in last if assignment}
    fresh = timed(planner, list(these.values()), purpose=f"final of {sorted(these)}")
    found = {assignment.key: comparison for assignment, comparison in fresh.values()}
    winner = _best(planner, these.values(), lambda a: found[a.key].speedup)
    runs = runs | fresh
    beside: dict[str, Any] = {
        "seed_speedup": found[seed.key].speedup,
        "trial": trial,
        "trial_speedup": found[trial.key].speedup if trial else None,
    }
    if found[winner.key].speedup_low <= 1:
        nothing = _original(layers)
        return Refined(nothing, promise(planner, nothing, runs), **beside)
    savings = network_model(planner, runs).savings(plan_of(winner))
    in_network = dict(zip(winner.decisions, savings, strict=True))
    return Refined(winner, promise(planner, winner, runs), in_network, **beside)


def _training_plans(
    layers: Sequence[LayerChoices], best: Assignment, budget: float, seed: int
) -> list[Assignment]:
    """Plans that differ from each other in what they replace, so that runs can tell which
    layers the savings come from. They need not keep the error limit: nobody applies them."""
    rng = np.random.default_rng(seed)
    original = _original(layers).choices
    halves = [
        Assignment(
            best.names,
            tuple(
                kept if heads else first
                for kept, first, heads in zip(
                    best.choices, original, rng.random(len(original)) < 0.5, strict=True
                )
            ),
        )
        for _ in range(RANDOM_HALVES)
    ]
    return [*(solve(layers, max_error_sq=share * budget) for share in TRAINING_BUDGETS), *halves]


def _in_network(planner: Planner, layers: Sequence[LayerChoices], runs: Runs) -> list[LayerChoices]:
    """The layers' choices with what they save in the network instead of alone; those that
    save nothing there are left out."""
    model = network_model(planner, runs)

    def corrected(layer: LayerChoices) -> LayerChoices:
        original, *others = layer.choices
        savings = model.savings(PlanParts("", tuple(part_of(layer.spec_key, c) for c in others)))
        moved = [replace(c, saving_s=s) for c, s in zip(others, savings, strict=True)]
        return replace(layer, choices=(original, *(c for c in moved if c.saving_s > 0)))

    return [corrected(layer) for layer in layers]


def _original(layers: Sequence[LayerChoices]) -> Assignment:
    names = tuple(layer.name for layer in layers)
    return Assignment(names, tuple(layer.choices[0] for layer in layers))


def promise(planner: Planner, chosen: Assignment, runs: Runs) -> documents.Predicted:
    """What the latency model says of `chosen`."""
    if not runs and not planner.original_latency_s():
        return UNCHANGED.model_copy()
    model, decisions = network_model(planner, runs), chosen.decisions
    found = model.forecast(plan_of(chosen))
    return documents.Predicted(
        latency_s=model.original_s / found.speedup,
        speedup=found.speedup,
        speedup_low=found.speedup_low,
        speedup_high=found.speedup_high,
        network_error=planner.quality.error(decisions).value,
        network_error_measured=planner.sensitivity.is_measured(decisions),
        model_error=model.held_out(),
        runs=len(runs),
        own_run=found.own_run,
    )
