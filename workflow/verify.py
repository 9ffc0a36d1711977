"""`rankwise verify`: the whole network against the original, measured and compared."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..campaign.setup import Setup, make_setup
from ..documents.plan_files import read_plan, write_plan
from ..errors import BackendError, GoalNotReached
from ..factors.planned_network import check_network
from ..network_timing.inference_runs import can_time, compare_networks
from ..network_timing.training_runs import Variant, can_train, compare_training
from ..planner.quality import find_score
from ..records import Comparison, content_key
from ..reporter import Reporter, Silent
from .apply import assembly_for, plan_pictures
from .store import DEFAULT_DB

if TYPE_CHECKING:
    from ..models.network import Network
    from ..models.pictures import Calibration


def verify(
    plan: documents.Plan | Path | str,
    model: Any,
    example_input: Any = None,
    *,
    backend: str | None = None,
    threads: int | None = None,
    phase: str | None = None,
    data: Path | None = None,
    preprocess: str | None = None,
    db: str = DEFAULT_DB,
    weights: Path | None = None,
    reporter: Reporter | None = None,
) -> documents.VerificationDocument:
    """Time original and compressed network, interleaved; compare outputs on the report split.

    Backend (with its options), threads and phase are the plan's (its first) unless told
    otherwise; in the training phase it is whole training steps that are timed. `data` are the
    plan's own calibration pictures; without them outputs are not compared. The result is written
    into the plan's file. Raises `GoalNotReached` (after writing) if the measurement contradicts
    the plan: slower than the original, or an error above the plan's limit.
    """
    from ..db.store import Store

    document = read_plan(plan)
    setup = make_setup(
        model,
        backend=backend or document.backend or document.device.backend,
        example_input=example_input,
        weights=weights,
        input_shape=document.model.input_shape,
        threads=threads if threads is not None else max(document.policies[0]["threads"], 1),
        phase=phase or document.policies[0].get("phase", "inference"),
        **_numerics(document, backend),
    )
    training = setup.policy.phase == "training"
    reason = can_train(setup) if training else can_time(setup)
    if reason:
        raise BackendError(f"{reason}; verify with a backend that can, such as onnxruntime-cpu")
    check_network(document, setup.network)
    pictures = plan_pictures(document, data, preprocess)
    with Store.open(db) as store:
        compressed = assembly_for(document, setup.network, pictures, db).network_with(
            document.decisions
        )
        key = content_key([document.model.sha256, _decisions_json(document)])
        (reporter or Silent()).message("timing the whole network against the original")
        description: dict[str, object] = {
            "plan": document.created_at,
            "source": document.model.source,
        }
        if training:
            variants = {key: Variant(document.decisions)}
            found = compare_training(setup, store, variants, {key: description})
        else:
            found = compare_networks(setup, store, {key: compressed}, {key: description})
        comparison = found[key]
        fidelity = {
            **_fidelity(setup.network, compressed, pictures),
            **_scores(document, setup.network, compressed),
        }
        result = _document(document, setup, comparison, fidelity)
        plan_key = store.put_plan(document.model_dump(mode="json"))
        store.put_verification(plan_key, result.model_dump(mode="json"))
    _note(document, plan, result)
    _require_agreement(document, result)
    return result


def _numerics(plan: documents.Plan, backend: str | None) -> dict[str, Any]:
    """dtype, execution and numeric mode as the plan's layers were timed; the last two mean
    something on the plan's own backend only."""
    names = ["dtype"] if backend else ["dtype", "execution", "numeric_mode"]
    return {name: plan.policies[0][name] for name in names if name in plan.policies[0]}


def _decisions_json(document: documents.Plan) -> dict[str, Any]:
    return {name: d.to_json() for name, d in document.decisions.items()}


def _fidelity(
    original: Network, compressed: Network, pictures: Calibration | None
) -> dict[str, Any]:
    """How close the outputs are on the report split, which nothing else has read."""
    from ..models.fidelity import fidelity

    if pictures is None:
        return {}
    inputs = pictures.report
    found = fidelity(original.outputs(inputs), compressed.outputs(inputs))
    return {"split": "report", "examples": len(inputs), **found}


def _scores(document: documents.Plan, original: Network, compressed: Network) -> dict[str, float]:
    """What the plan's own evaluation says of both networks, where it was made with one."""
    objective = document.objective
    score = find_score(objective.get("evaluate"), objective.get("floor"), original)
    if score is None:
        return {}
    return {"original_score": score.original, "score": score.of(compressed)}


def _document(
    plan: documents.Plan, setup: Setup, comparison: Comparison, fidelity: Mapping[str, Any]
) -> documents.VerificationDocument:
    return documents.VerificationDocument(
        latency_s=comparison.latency_s,
        original_latency_s=comparison.original_latency_s,
        speedup=comparison.speedup,
        speedup_low=comparison.speedup_low,
        speedup_high=comparison.speedup_high,
        predicted_speedup=plan.predicted.speedup,
        fidelity=dict(fidelity),
        device=documents.Fingerprint.of(setup.fingerprint),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _note(
    document: documents.Plan,
    plan: documents.Plan | Path | str,
    result: documents.VerificationDocument,
) -> None:
    """Write the result beside what was predicted."""
    document.verified = documents.Verification.model_validate(
        result.model_dump(exclude={"kind", "schema_version"})
    )
    if not isinstance(plan, documents.Plan):
        write_plan(document, Path(plan))


def _require_agreement(document: documents.Plan, result: documents.VerificationDocument) -> None:
    limit = document.objective.get("max_error")
    error = result.fidelity.get("relative_error")
    if limit is not None and error is not None and error > limit:
        raise GoalNotReached(
            f"verified, but the network error on the report split is {error:.4f}, above the "
            f"plan's limit {limit}: plan again with a lower --max-error",
            result,
        )
    floor, score = document.objective.get("floor"), result.fidelity.get("score")
    if floor is not None and score is not None and score < floor:
        raise GoalNotReached(
            f"verified, but {document.objective['evaluate']} gives {score:g}, below the plan's "
            f"floor {floor:g}: plan again with a higher --floor",
            result,
        )
    if document.decisions and result.speedup_high < 1:
        raise GoalNotReached(
            f"verified, but the compressed network is slower: {result.speedup:.3f} "
            f"[{result.speedup_low:.3f}, {result.speedup_high:.3f}]",
            result,
        )
