"""The plan's document: every layer of the network with its decision and its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import documents
from ..clock import now_to_the_second
from ..models.notes import calibration_note
from ..records import LayerUse
from ..search.space import Assignment, Decision, LayerChoices, decisions, quantum_of
from ..search.study import StudyResult
from ..search.weighted_phases import JOINED
from ..version import __version__
from .problem import PlanProblem
from .refinement import Refined


def plan_document(
    problem: PlanProblem, layers: Sequence[LayerChoices], refined: Refined, study: StudyResult
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
        mode=_mode_of(problem, refined.winner),
        rank_selection=options.candidate_policy.rank_selection,
        calibration=calibration_note(problem.calibration),
        layers=[
            _layer(problem, uses[decision.name], decision, refined)
            for decision in decisions(layers, refined.winner)
        ],
        predicted=refined.predicted,
        search=_search(problem, refined, study),
    )


def _search(problem: PlanProblem, refined: Refined, study: StudyResult) -> documents.Search:
    """How the plan was found. Trials were measured only where the rivals were timed, too."""
    options = problem.options
    tried = refined.seed_speedup is not None and problem.least_error_at is None
    return documents.Search(
        sampler=options.sampler,
        trials=study.trials,
        exact_speedup=_additive_speedup(problem, study),
        gap=study.gap,
        seed=options.seed,
        measured_trials=options.measured_trials if tried else 0,
        seed_speedup=refined.seed_speedup,
        trial_speedup=refined.trial_speedup,
    )


def _mode_of(problem: PlanProblem, plan: Assignment) -> str:
    """The narrowest mode that may change all layers which the plan does."""
    changed = plan.decisions.keys()
    return next(name for name, selected in problem.modes.items() if changed <= selected)


def _objective(problem: PlanProblem) -> dict[str, Any]:
    asked = {**problem.objective.to_json(), "metric": "relative_error", "split": "select"}
    weight = problem.options.training_weight
    return asked if weight is None else {**asked, "training_weight": weight}


def _additive_speedup(problem: PlanProblem, study: StudyResult) -> float | None:
    """The exact solution's speedup by the sum of isolated latencies, before refinement."""
    total = problem.original_latency_s()
    saving = study.exact.saving_s
    return total / (total - saving) if total > saving else None


def _layer(
    problem: PlanProblem, use: LayerUse, decision: Decision, refined: Refined
) -> documents.PlannedLayer:
    chosen = decision.choice.decomposition
    replaced, measured = not chosen.is_original, refined.predicted.network_error_measured
    rows = problem.table.rows(use.spec.key) if use.spec else ()
    original_s = rows[0].original_latency_s if rows else None
    row = problem.table[use.spec.key, chosen] if use.spec and replaced else None
    # Of a plan that was not measured the error curve says what its factors are.
    factors = problem.assembly.made if measured else problem.assembly.expected
    made = factors(use.name, chosen) if replaced else None
    shrinkage = made.shrinkage if made else None
    return documents.PlannedLayer(
        name=use.name,
        op=use.op,
        spec=use.spec.to_json() if use.spec else None,
        decomposition=documents.Decomposition.of(chosen),
        rank_quantum=quantum_of(chosen) if replaced else None,
        factors=("weights" if shrinkage is None else "data") if replaced else None,
        shrinkage=shrinkage,
        original_latency_s=row.original_latency_s if row else original_s,
        predicted_latency_s=row.latency_s if row else original_s,
        speedup=row.speedup if row else None,
        speedup_low=row.speedup_low if row else None,
        speedup_high=row.speedup_high if row else None,
        verdict=row.verdict.value if row else None,
        layer_error=made.error if made else None,
        in_network_saving_s=refined.in_network.get(use.name),
        reason=decision.reason,
        measurement_ids=[
            one for r in ([row] if row else rows) for one in r.measurement_id.split(JOINED)
        ],
    )
