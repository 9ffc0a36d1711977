"""The plan's document: every layer of the network with its decision and its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import documents
from ..clock import now_to_the_second
from ..lowrank.shrinkage import WEIGHTS_ALONE
from ..models.notes import calibration_note, compared_note
from ..records import LayerUse
from ..search.combined_rows import JOINED, layer_row, layer_rows
from ..search.space import Assignment, Decision, LayerChoices, decisions, quantum_of
from ..version import __version__
from .found import Found
from .prediction import predicted, promise
from .problem import PlanProblem
from .solution import Solution


def plan_document(
    problem: PlanProblem, layers: Sequence[LayerChoices], found: Found, solution: Solution
) -> documents.Plan:
    """Every layer of the network appears, kept or replaced."""
    setup, options = problem.setup, problem.options
    uses = {use.name: use for use in setup.network.layers}
    return documents.Plan(
        rankwise_version=__version__,
        created_at=now_to_the_second(),
        model=setup.model,
        device=documents.Fingerprint.of(setup.fingerprint),
        backend=setup.backend_text,
        policies=[policy.to_json() for policy in problem.policies],
        objective=_objective(problem),
        mode=_mode_of(problem, found.winner),
        rank_selection=options.candidate_policy.rank_selection,
        calibration=calibration_note(problem.calibration),
        compared=compared_note(problem.evidence.select.compared),
        notes=list(problem.notes),
        match_channels=problem.assembly.matching is not None,
        layers=[
            _layer(problem, uses[decision.name], decision, found)
            for decision in decisions(layers, found.winner)
        ],
        predicted=predicted(problem, found),
        promise=promise(problem, found),
        search=_search(problem, solution),
    )


def _search(problem: PlanProblem, solution: Solution) -> documents.Search:
    """How the plan was found."""
    options, exact = problem.options, solution.assignment
    total = problem.original_latency_s()
    return documents.Search(
        sampler=options.sampler,
        trials=options.trials,
        exact_speedup=total / (total - exact.saving_s) if total > exact.saving_s else None,
        gap=exact.gap,
        seed=options.seed,
        passes=problem.evidence.passes,
    )


def _mode_of(problem: PlanProblem, plan: Assignment) -> str:
    """The narrowest mode that may change all layers which the plan does."""
    changed = plan.decisions.keys()
    return next(name for name, selected in problem.modes.items() if changed <= selected)


def _objective(problem: PlanProblem) -> dict[str, Any]:
    asked = {**problem.objective.to_json(), "metric": "relative_error", "split": "select"}
    weight = problem.options.training_weight
    return asked if weight is None else {**asked, "training_weight": weight}


def _layer(
    problem: PlanProblem, use: LayerUse, decision: Decision, found: Found
) -> documents.PlannedLayer:
    chosen = decision.choice.decomposition
    replaced = not chosen.is_original
    rows = layer_rows(problem.table, use)
    original_s = rows[0].original_latency_s if rows else None
    row = layer_row(problem.table, use, chosen) if replaced else None
    made = problem.assembly.made(use.name, chosen) if chosen.has_factors else None
    shrinkage = made.shrinkage if made else WEIGHTS_ALONE
    return documents.PlannedLayer(
        name=use.name,
        op=use.op,
        spec=use.spec.to_json() if use.spec else None,
        decomposition=documents.Decomposition.of(chosen),
        rank_quantum=quantum_of(chosen) if made else None,
        factors=("weights" if shrinkage == WEIGHTS_ALONE else "data") if made else None,
        shrinkage=shrinkage.inputs,
        output_shrinkage=shrinkage.outputs,
        original_latency_s=row.original_latency_s if row else original_s,
        predicted_latency_s=row.latency_s if row else original_s,
        speedup=row.speedup if row else None,
        speedup_low=row.speedup_low if row else None,
        speedup_high=row.speedup_high if row else None,
        verdict=row.verdict.value if row else None,
        layer_error=made.error if made else None,
        in_network_saving_s=found.in_network.get(use.name),
        reason=decision.reason,
        calls=max(1, len(use.every_call)),
        measurement_ids=[
            one for r in ([row] if row else rows) for one in r.measurement_id.split(JOINED)
        ],
    )
