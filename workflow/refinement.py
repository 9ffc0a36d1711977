"""Finalists timed as whole networks, and what a plan may promise.

Isolated savings do not add up to the network's: they are nearly always a little too hopeful.
The latency model is therefore: measured latency of the original network minus `scale` times
the sum of the savings, `scale` being fitted on whole-network runs of *other* plans than the
one that is promised, in the same sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from .. import documents
from ..records import Comparison, Decomposition
from ..search.exact import solve
from ..search.prediction import FLOOR, fit_scale, predict
from ..search.space import Assignment
from .network_runs import can_time, compare_networks
from .training_runs import Variant, can_train, compare_training

if TYPE_CHECKING:
    from ..search.space import LayerChoices
    from .planning import Planner

TRAINING_BUDGETS = (0.2, 0.5, 2.0)
"""Plans that the latency model is fitted on: these multiples of the squared error budget."""


@dataclass(frozen=True, slots=True)
class Refined:
    winner: Assignment
    predicted: documents.Predicted


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
        return Refined(nothing, _promise(planner, nothing, None, {}))
    if reason or not planner.options.refine:
        best = max(candidates, key=lambda a: a.saving_s)
        return Refined(best, _promise(planner, best, None, {}))
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
    training = _training_plans(layers, budget, finalists)
    everyone = {**finalists, **training}
    found = _compared(planner, everyone)
    winner = max(finalists, key=lambda key: found[key].speedup)
    runs = {key: (everyone[key], found[key]) for key in everyone}
    if found[winner].speedup_low <= 1:
        return Refined(nothing, _promise(planner, nothing, None, runs))
    return Refined(finalists[winner], _promise(planner, finalists[winner], winner, runs))


def _training_plans(
    layers: Sequence[LayerChoices], budget: float, finalists: dict[str, Assignment]
) -> dict[str, Assignment]:
    found = [solve(layers, max_error_sq=share * budget) for share in TRAINING_BUDGETS]
    return {a.key: a for a in found if decisions_of(a) and a.key not in finalists}


def _original(layers: Sequence[LayerChoices]) -> Assignment:
    names = tuple(layer.name for layer in layers)
    return Assignment(names, tuple(layer.choices[0] for layer in layers))


def _promise(
    planner: Planner,
    chosen: Assignment,
    key: str | None,
    runs: dict[str, tuple[Assignment, Comparison]],
) -> documents.Predicted:
    """What the latency model says of `chosen`, fitted on the runs of all the others."""
    original_s = _original_latency(planner, runs)
    others = [(a.saving_s, c.saving_s) for k, (a, c) in runs.items() if k != key]
    fit = fit_scale(others, original_s)
    changed = [c for c in chosen.choices if not c.decomposition.is_original]
    found = predict(
        original_s,
        [choice.saving_s for choice in changed],
        [choice.saving_se_s for choice in changed],
        fit.scale,
        fit.se,
        floor=max(FLOOR, fit.error or 0.0),
    )
    return documents.Predicted(
        latency_s=found.latency_s,
        speedup=found.speedup,
        speedup_low=found.speedup_low,
        speedup_high=found.speedup_high,
        network_error=planner.sensitivity.measured(decisions_of(chosen)).value,
        model_error=fit.error,
    )


def _original_latency(planner: Planner, runs: dict[str, tuple[Assignment, Comparison]]) -> float:
    """Of the whole network where it was measured, else the sum of its layers alone."""
    if runs:
        return fmean(comparison.original_latency_s for _, comparison in runs.values())
    return planner.original_latency_s()
