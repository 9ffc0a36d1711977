"""Plans timed as whole networks against the original, and what the latency model learns of it.

A plan that was timed on this device, under this policy and for the same purpose is not timed
again: its runs are in the store. The same store gives the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from .. import stats
from ..network_timing.inference_runs import NETWORK_EFFORT, can_time, compare_networks
from ..network_timing.training_runs import PROCESSES, Variant, can_train, compare_training
from ..records import Comparison, content_key
from ..search.network_model import NetworkModel, Part, PlanParts, PlanRun
from ..search.space import Assignment, Choice, LayerChoices

if TYPE_CHECKING:
    from .planner import Planner

RUNS_VERSION = 2
"""Changes with how whole networks are timed, so that older runs are not taken for new ones."""

Runs = dict[str, tuple[Assignment, Comparison]]
"""By purpose and assignment."""


def descriptions_of(assignments: Iterable[Assignment]) -> dict[str, dict[str, object]]:
    """What the store notes of whole-network runs, by the assignments' keys."""
    return {a.key: {n: d.to_json() for n, d in a.decisions.items()} for a in assignments}


def cannot_time(planner: Planner) -> str:
    """Empty if finalists can be timed whole in the plan's phase; else why not, in one phrase."""
    if planner.options.training_weight is not None:
        return "a plan for two phases rests on the weighed sum of its layers"
    if planner.setup.policy.phase == "inference":
        return can_time(planner.setup)
    if not planner.setup.named:
        return "a module without a name cannot be loaded in the processes that time its training"
    return can_train(planner.setup)


def timed(
    planner: Planner,
    assignments: Sequence[Assignment],
    purpose: str = "",
    preparations: int = NETWORK_EFFORT.preparations,
) -> Runs:
    """Each plan's whole network against the original. Runs of the same plan for another
    purpose are others: a winner is not judged by the runs that made it one."""
    everyone = {_run_key(planner, a, purpose): a for a in assignments if a.decisions}
    found = _replayed(planner, everyone, preparations)
    left = {key: one for key, one in everyone.items() if key not in found}
    found |= _compared(planner, left, preparations)
    return {key: (one, found[key]) for key, one in everyone.items()}


def _run_key(planner: Planner, assignment: Assignment, purpose: str) -> str:
    return content_key([RUNS_VERSION, planner.setup.network.sha256, assignment.key, purpose])


def _preparations(planner: Planner, preparations: int) -> int:
    return PROCESSES if planner.setup.policy.phase == "training" else preparations


def _replayed(
    planner: Planner, everyone: Iterable[str], preparations: int
) -> dict[str, Comparison]:
    """Of those whose runs are all in the store."""
    setup = planner.setup
    found = planner.store.run_summaries(setup.fingerprint, setup.network_policy, list(everyone))
    wanted = _preparations(planner, preparations)
    spent = {"spent": 0.0} if setup.policy.phase == "training" else {"planned": wanted}
    return {
        key: stats.combine(summaries[:wanted], **spent)
        for key, summaries in found.items()
        if len(summaries) >= wanted
    }


def _compared(
    planner: Planner, everyone: dict[str, Assignment], preparations: int
) -> dict[str, Comparison]:
    decided = {key: assignment.decisions for key, assignment in everyone.items()}
    described = descriptions_of(everyone.values())
    descriptions = {key: described[one.key] for key, one in everyone.items()}
    where = planner.setup, planner.store
    if planner.setup.policy.phase == "training":
        variants = {key: Variant(one) for key, one in decided.items()}
        return compare_training(*where, variants, descriptions)
    networks = {key: planner.assembly.network_with(one) for key, one in decided.items()}
    effort = replace(NETWORK_EFFORT, preparations=preparations)
    return compare_networks(*where, networks, descriptions, effort)


def plan_of(assignment: Assignment) -> PlanParts:
    """An assignment as the latency model sees it; layers whose candidates share a measurement
    compute the same."""
    changed = [c for c in assignment.choices if not c.decomposition.is_original]
    return PlanParts(assignment.key, tuple(part_of("", choice) for choice in changed))


def part_of(spec_key: str, choice: Choice) -> Part:
    key = choice.measurement_id or f"{spec_key} {choice.decomposition}"
    return Part(key, choice.saving_s, choice.saving_se_s)


def as_measured(layers: Sequence[LayerChoices], found: Assignment) -> Assignment:
    """The same decisions with what was measured of each alone, which the model starts from."""
    measured = {
        (layer.name, choice.decomposition): choice for layer in layers for choice in layer.choices
    }
    pairs = zip(found.names, found.choices, strict=True)
    return Assignment(found.names, tuple(measured[n, c.decomposition] for n, c in pairs))


def network_model(planner: Planner, runs: Runs) -> NetworkModel:
    """Fitted on every whole network that was timed."""
    if runs:
        original_s = fmean(found.original_latency_s for _, found in runs.values())
    else:
        original_s = planner.original_latency_s()
    return NetworkModel(original_s, [PlanRun.of(plan_of(a), found) for a, found in runs.values()])
