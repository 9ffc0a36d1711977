"""The plan's document: every layer of the network with its decision and its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import __version__, documents
from ..records import Decomposition, LayerUse
from ..search.space import Decision, decisions, quantum_of
from ..search.weighted_phases import JOINED

if TYPE_CHECKING:
    from ..factors.assembly import Made
    from ..models.pictures import Calibration
    from ..search.space import Assignment, LayerChoices
    from ..search.study import StudyResult
    from .planner import Planner


def plan_document(
    planner: Planner,
    layers: Sequence[LayerChoices],
    chosen: Assignment,
    predicted: documents.Predicted,
    study: StudyResult,
) -> documents.Plan:
    """Every layer of the network appears, kept or replaced."""
    setup, options = planner.setup, planner.options
    decided = decisions(layers, chosen)
    uses = {use.name: use for use in setup.network.layers}
    return documents.Plan(
        rankwise_version=__version__,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        model=setup.model,
        device=documents.Fingerprint.of(setup.fingerprint),
        backend=setup.backend_text,
        policies=[policy.to_json() for policy in planner.policies],
        objective=_objective(planner),
        mode=planner.mode_of(chosen),
        rank_selection=options.candidate_policy.rank_selection,
        calibration=calibration_note(planner.calibration),
        layers=[
            _layer(planner, uses[decision.name], decision, predicted.network_error_measured)
            for decision in decided
        ],
        predicted=predicted,
        search=documents.Search(
            sampler=options.sampler,
            trials=study.trials,
            exact_speedup=_additive_speedup(planner, study),
            gap=study.gap,
            seed=options.seed,
        ),
    )


def _made(planner: Planner, name: str, chosen: Decomposition, measured: bool) -> Made:
    """Of a plan that was measured, its factors; else what the error curve says of them."""
    assembly = planner.assembly
    return assembly.made(name, chosen) if measured else assembly.expected(name, chosen)


def _objective(planner: Planner) -> dict[str, Any]:
    asked = {**asdict(planner.objective), "metric": "relative_error", "split": "select"}
    weight = planner.options.training_weight
    return asked if weight is None else {**asked, "training_weight": weight}


def _additive_speedup(planner: Planner, study: StudyResult) -> float | None:
    """The exact solution's speedup by the sum of isolated latencies, before refinement."""
    total = planner.original_latency_s()
    saving = study.exact.saving_s
    return total / (total - saving) if total > saving else None


def calibration_note(pictures: Calibration | None) -> documents.CalibrationNote | None:
    if pictures is None:
        return None
    return documents.CalibrationNote(
        sha256=pictures.sha256,
        images=pictures.images,
        preprocess=pictures.preprocess,
        split={
            "fit": pictures.examples["fit"],
            "select": pictures.examples["select"],
            "report": pictures.examples["report"],
        },
    )


def _layer(
    planner: Planner, use: LayerUse, decision: Decision, measured: bool
) -> documents.PlannedLayer:
    chosen = decision.choice.decomposition
    replaced = not chosen.is_original
    rows = planner.table.rows(use.spec.key) if use.spec else ()
    original_s = rows[0].original_latency_s if rows else None
    row = planner.table[use.spec.key, chosen] if use.spec and replaced else None
    made = _made(planner, use.name, chosen, measured) if replaced else None
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
        reason=decision.reason,
        measurement_ids=[
            one for r in ([row] if row else rows) for one in r.measurement_id.split(JOINED)
        ],
    )
