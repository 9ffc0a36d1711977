"""Plans timed as whole networks against the original, and what the latency model learns of it.

A plan that was timed on this device, under this policy and for the same purpose is not timed
again: its runs are in the store. The same store gives the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from .. import stats
from ..campaign.setup import Setup
from ..network_timing.inference_runs import NETWORK_EFFORT, can_time, compare_networks
from ..network_timing.training_runs import PROCESSES, Variant, can_train, compare_training
from ..records import Comparison, content_key
from ..search.network_model import NetworkModel, Part, PlanParts, PlanRun
from ..search.space import Assignment, Choice, LayerChoices
from .problem import PlanProblem

RUNS_VERSION = 2
"""Changes with how whole networks are timed, so that older runs are not taken for new ones."""

TIMING = "timing of whole networks"

Runs = dict[str, tuple[Assignment, Comparison]]
"""Plans with the comparison of each with the original, by purpose and assignment."""


def description(plan: Assignment) -> dict[str, object]:
    """What the store notes of a plan's whole-network runs."""
    return {name: decomposition.to_json() for name, decomposition in plan.decisions.items()}


def cannot_time(problem: PlanProblem) -> str:
    """Empty if plans can be timed whole in the plan's phase; else why not, in one phrase."""
    if problem.options.training_weight is not None:
        return "a plan for two phases rests on the weighed sum of its layers"
    if problem.setup.policy.phase == "inference":
        return can_time(problem.setup)
    if not problem.setup.named:
        return "a module without a name cannot be loaded in the processes that time its training"
    return can_train(problem.setup)


def timed(
    problem: PlanProblem,
    assignments: Sequence[Assignment],
    purpose: str = "",
    preparations: int = NETWORK_EFFORT.preparations,
) -> Runs:
    """Each plan's whole network against the original. Runs of the same plan for another
    purpose are others: a winner is not judged by the runs that made it one."""
    everyone = _by_key(problem, assignments, purpose)
    comparisons = _replayed(problem, everyone, preparations)
    left = {key: one for key, one in everyone.items() if key not in comparisons}
    if left:
        with problem.progress.unit(TIMING, f"timing {len(left)} plans as whole networks"):
            measured = _compared(problem, left, preparations)
        for comparison in measured.values():
            problem.progress.found("timed_speedup", comparison.speedup)
        comparisons |= measured
    return {key: (one, comparisons[key]) for key, one in everyone.items()}


def known_runs(problem: PlanProblem, assignments: Sequence[Assignment]) -> Runs:
    """What `timed` would not time again."""
    everyone = _by_key(problem, assignments, "")
    found = _replayed(problem, everyone, NETWORK_EFFORT.preparations)
    return {key: (everyone[key], comparison) for key, comparison in found.items()}


def _by_key(
    problem: PlanProblem, assignments: Sequence[Assignment], purpose: str
) -> dict[str, Assignment]:
    """Those of which there is something to time, by the keys of their runs."""
    return {
        _run_key(problem, one, purpose): one
        for one in assignments
        if one.decisions or over_another_dtype(problem)
    }


def over_another_dtype(problem: PlanProblem) -> bool:
    """Whether plans are timed against the original as it is, though they are quantised."""
    return problem.assembly.form is not None and problem.setup.policy.dtype == "float32"


def _run_key(problem: PlanProblem, assignment: Assignment, purpose: str) -> str:
    asked = [RUNS_VERSION, problem.setup.network.sha256, assignment.key, purpose]
    if over_another_dtype(problem):
        asked.append(problem.assembly.plan_key(assignment.decisions))
    return content_key(asked)


def _replayed(
    problem: PlanProblem, everyone: Iterable[str], preparations: int
) -> dict[str, Comparison]:
    """The comparisons of those keys whose runs are all in the store."""
    setup = problem.setup
    kept = problem.store.measurements.summaries(
        setup.fingerprint, setup.network_policy, list(everyone)
    )
    training = setup.policy.phase == "training"
    wanted = PROCESSES if training else preparations
    bounds = {"spent": 0.0} if training else {"planned": wanted}
    return {
        key: stats.combine(summaries[:wanted], **bounds)
        for key, summaries in kept.items()
        if len(summaries) >= wanted
    }


def _compared(
    problem: PlanProblem, everyone: dict[str, Assignment], preparations: int
) -> dict[str, Comparison]:
    decided = {key: assignment.decisions for key, assignment in everyone.items()}
    descriptions = {key: description(assignment) for key, assignment in everyone.items()}
    where = setup_of_runs(problem), problem.store
    if problem.setup.policy.phase == "training":
        variants = {key: Variant(one) for key, one in decided.items()}
        return compare_training(*where, variants, descriptions)
    networks = {key: problem.assembly.network_with(one) for key, one in decided.items()}
    effort = replace(NETWORK_EFFORT, preparations=preparations)
    return compare_networks(*where, networks, descriptions, effort)


def setup_of_runs(problem: PlanProblem) -> Setup:
    """The set-up whose network plans are timed against: the original in the plans' form, or as it
    is for plans that are timed over another dtype."""
    setup, form = problem.setup, problem.assembly.form
    if form is None or over_another_dtype(problem):
        return setup
    return replace(setup, network=form(setup.network, {}))


def plan_of(assignment: Assignment) -> PlanParts:
    """An assignment as the latency model sees it; layers whose candidates share a measurement
    compute the same."""
    changed = [c for c in assignment.choices if not c.decomposition.is_original]
    return PlanParts(assignment.key, tuple(part_of("", choice) for choice in changed))


def part_of(spec_key: str, choice: Choice) -> Part:
    """A choice as the latency model sees it."""
    key = choice.measurement_id or f"{spec_key} {choice.decomposition}"
    return Part(key, choice.saving_s, choice.saving_se_s)


def as_measured(layers: Sequence[LayerChoices], plan: Assignment) -> Assignment:
    """The same decisions with what was measured of each alone, which the model starts from."""
    measured = {
        (layer.name, choice.decomposition): choice for layer in layers for choice in layer.choices
    }
    pairs = zip(plan.names, plan.choices, strict=True)
    return Assignment(plan.names, tuple(measured[n, c.decomposition] for n, c in pairs))


def network_model(problem: PlanProblem, runs: Runs) -> NetworkModel:
    """The latency model, fitted on every whole network that was timed."""
    if runs:
        original_s = fmean(run.original_latency_s for _, run in runs.values())
    else:
        original_s = problem.original_latency_s()
    return NetworkModel(original_s, [PlanRun.of(plan_of(plan), run) for plan, run in runs.values()])
