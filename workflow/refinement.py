"""Finalists timed as whole networks, and what a plan may promise.

The finalists, a few plans at other error budgets and random halves of the best finalist are
timed against the original; `search.network_model` is fitted on all of these runs. It says
what each candidate saves *inside* the network, so the search is asked once more with those
savings, and what it finds is timed, too. A plan's promise rests on the model and on its own
run (the document says so); `model_error` is how far off the model is for a plan whose own run
it is not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from .. import documents
from ..records import Comparison, Decomposition
from ..search.exact import solve
from ..search.network_model import NetworkModel, Part, Plan, Run
from ..search.space import Assignment, Choice, LayerChoices
from .network_runs import can_time, compare_networks
from .training_runs import Variant, can_train, compare_training

if TYPE_CHECKING:
    from .planning import Planner

TRAINING_BUDGETS = (0.3, 2.0)
"""Plans that the latency model is fitted on: these multiples of the squared error budget."""
RANDOM_HALVES = 4
"""Further plans to fit it on: each layer of the best finalist is replaced or not by lot."""

Runs = dict[str, tuple[Assignment, Comparison]]


@dataclass(frozen=True, slots=True)
class Refined:
    """`in_network`: what each replaced layer is thought to save in the network, in seconds."""

    winner: Assignment
    predicted: documents.Predicted
    in_network: Mapping[str, float] = field(default_factory=dict)


def decisions_of(assignment: Assignment) -> dict[str, Decomposition]:
    """The layers that an assignment replaces, and by what."""
    pairs = zip(assignment.names, assignment.choices, strict=True)
    return {n: c.decomposition for n, c in pairs if not c.decomposition.is_original}


def descriptions_of(assignments: Iterable[Assignment]) -> dict[str, dict[str, object]]:
    """What the store notes of whole-network runs, by the assignments' keys."""
    return {a.key: {n: d.to_json() for n, d in decisions_of(a).items()} for a in assignments}


def refine(
    planner: Planner,
    layers: Sequence[LayerChoices],
    finalists: Sequence[Assignment],
    budget: float,
) -> Refined:
    """The finalist whose whole network is fastest; the original if none is faster than it.

    Without refinement the finalist with the most saving wins, and the promise rests on the
    sum of isolated latencies.
    """
    nothing = _original(layers)
    candidates = [a for a in finalists if decisions_of(a)]
    reason = _cannot_time(planner)
    if planner.options.refine and reason:
        planner.reporter.message(f"not refined in the network: {reason}")
    if not candidates:
        return Refined(nothing, promise(planner, nothing, {}))
    if reason or not planner.options.refine:
        best = max(candidates, key=lambda a: a.saving_s)
        return Refined(best, promise(planner, best, {}))
    return _measured(planner, layers, candidates, budget, nothing)


def _cannot_time(planner: Planner) -> str:
    """Empty if finalists can be timed whole in the plan's phase; else why not, in one phrase."""
    if planner.options.training_weight is not None:
        return "a plan for two phases rests on the weighed sum of its layers"
    if planner.setting.policy.phase == "inference":
        return can_time(planner.setting)
    if not planner.options.named:
        return "a module without a name cannot be loaded in the processes that time its training"
    return can_train(planner.setting)


def _compared(planner: Planner, everyone: dict[str, Assignment]) -> dict[str, Comparison]:
    decided = {key: decisions_of(assignment) for key, assignment in everyone.items()}
    descriptions = descriptions_of(everyone.values())
    where = planner.setting, planner.store
    if planner.setting.policy.phase == "training":
        variants = {key: Variant(one) for key, one in decided.items()}
        return compare_training(*where, variants, descriptions, weights=planner.options.weights)
    networks = {key: planner.assembly.network_with(one) for key, one in decided.items()}
    return compare_networks(*where, networks, descriptions)


def _measured(
    planner: Planner,
    layers: Sequence[LayerChoices],
    candidates: Sequence[Assignment],
    budget: float,
    nothing: Assignment,
) -> Refined:
    planner.reporter.message("timing finalists as whole networks")
    finalists = {assignment.key: assignment for assignment in candidates}
    best = max(candidates, key=lambda a: a.saving_s)
    training = _training_plans(layers, best, budget, planner.options.seed)
    runs = _timed(planner, [*finalists.values(), *training])
    better = _improved(planner, layers, runs, budget)
    if better.key not in runs and decisions_of(better) and planner.allows(better):
        planner.reporter.message("timing what the search finds with savings in the network")
        runs |= _timed(planner, [better])
    if better.key in runs and planner.allows(better):
        finalists[better.key] = better
    model = network_model(planner, runs)
    winner = max(finalists.values(), key=lambda a: model.forecast(plan_of(a)).speedup)
    if runs[winner.key][1].speedup_low <= 1:
        return Refined(nothing, promise(planner, nothing, runs))
    savings = model.savings(plan_of(winner))
    in_network = dict(zip(decisions_of(winner), savings, strict=True))
    return Refined(winner, promise(planner, winner, runs), in_network)


def _timed(planner: Planner, assignments: Sequence[Assignment]) -> Runs:
    """Each plan's whole network against the original."""
    everyone = {a.key: a for a in assignments if decisions_of(a)}
    found = _compared(planner, everyone)
    return {key: (everyone[key], found[key]) for key in everyone}


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


def _improved(
    planner: Planner, layers: Sequence[LayerChoices], runs: Runs, budget: float
) -> Assignment:
    """The best plan by what choices save in the network instead of alone."""
    model = network_model(planner, runs)

    def in_network(layer: LayerChoices) -> LayerChoices:
        original, *others = layer.choices
        plan = Plan("", tuple(_part(layer.spec_key, choice) for choice in others))
        savings = model.savings(plan)
        moved = [replace(c, saving_s=s) for c, s in zip(others, savings, strict=True)]
        return replace(layer, choices=(original, *(c for c in moved if c.saving_s > 0)))

    limits = planner.limits.max_params
    found = solve([in_network(each) for each in layers], max_error_sq=budget, max_params=limits)
    measured = {
        (layer.name, choice.decomposition): choice for layer in layers for choice in layer.choices
    }
    pairs = zip(found.names, found.choices, strict=True)
    return Assignment(found.names, tuple(measured[n, c.decomposition] for n, c in pairs))


def _original(layers: Sequence[LayerChoices]) -> Assignment:
    names = tuple(layer.name for layer in layers)
    return Assignment(names, tuple(layer.choices[0] for layer in layers))


def plan_of(assignment: Assignment) -> Plan:
    """An assignment as the latency model sees it; layers whose candidates share a measurement
    compute the same."""
    changed = [c for c in assignment.choices if not c.decomposition.is_original]
    return Plan(assignment.key, tuple(_part("", choice) for choice in changed))


def _part(spec_key: str, choice: Choice) -> Part:
    key = choice.measurement_id or f"{spec_key} {choice.decomposition}"
    return Part(key, choice.saving_s, choice.saving_se_s)


def network_model(planner: Planner, runs: Runs) -> NetworkModel:
    """Fitted on every whole network that was timed."""
    if runs:
        original_s = fmean(found.original_latency_s for _, found in runs.values())
    else:
        original_s = planner.original_latency_s()
    return NetworkModel(original_s, [Run.of(plan_of(a), found) for a, found in runs.values()])


def promise(planner: Planner, chosen: Assignment, runs: Runs) -> documents.Predicted:
    """What the latency model says of `chosen`."""
    model = network_model(planner, runs)
    found = model.forecast(plan_of(chosen))
    return documents.Predicted(
        latency_s=model.original_s / found.speedup,
        speedup=found.speedup,
        speedup_low=found.speedup_low,
        speedup_high=found.speedup_high,
        network_error=planner.sensitivity.measured(decisions_of(chosen)).value,
        model_error=model.held_out(),
        runs=len(runs),
        own_run=found.own_run,
    )
