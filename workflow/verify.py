"""`rankwise verify`: the whole network against the original, measured and compared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .. import documents
from ..campaign.setup import Setup, make_setup
from ..clock import now_to_the_second
from ..db.store import Store
from ..db.url import companion
from ..documents.plan_files import read_plan, write_plan
from ..errors import BackendError, GoalNotReached
from ..factors.array_cache import ArrayCache
from ..factors.planned_network import PlannedNetwork
from ..models.fidelity import fidelity
from ..models.network import Answering, Network
from ..models.network_error import NetworkError
from ..models.notes import asked_of, error_note
from ..models.pictures import Calibration
from ..network_timing.inference_runs import can_time, compare_networks
from ..network_timing.training_runs import Variant, can_train, compare_training
from ..options.keywords import takes
from ..options.networks import VerifyOptions
from ..planner.precision import HALVES, INT8
from ..planner.score import find_score
from ..records import Comparison, content_key
from ..reporter import Listeners, Teller
from .half_networks import check_half, in_half_precision, timed_against
from .int8_networks import check_int8, in_int8
from .typed_networks import FLOAT32, Typed, as_planned, as_promised, typed_key, typed_notes

CHECKS = {INT8: check_int8, **dict.fromkeys(HALVES, check_half)}
MAKERS = {INT8: in_int8, **dict.fromkeys(HALVES, in_half_precision)}
"""Of both networks in another type than float32, by that type."""


@takes(VerifyOptions)
def verify(options: VerifyOptions) -> documents.VerificationDocument:
    """Time original and compressed network, interleaved; compare outputs on the report split.

    Backend (with its options), threads and phase are the plan's (its first) unless told
    otherwise; in the training phase whole training steps are timed. `data` are the plan's own
    pictures; without them outputs are not compared. The result is written into the plan's file.
    With a `dtype`, or a plan in one, both networks are run in that type, too (quantised in int8),
    and all four timed side by side. Raises `GoalNotReached` (after writing) if the measurement
    contradicts the plan: slower than the original, or an error above the plan's limit.

    >>> found = rw.verify("plan.json", network, example)
    >>> found.speedup_low > 1, abs(found.speedup - found.predicted_speedup) < 0.1
    (True, True)
    """
    document = read_plan(options.plan)
    options = as_planned(options, document)
    said = Listeners.of(options.reporter)
    setup = _setup(options, document, said)
    planned = PlannedNetwork(document, setup.network, ArrayCache(companion(options.db, ".cache")))
    pictures = _pictures(planned, options)
    with Store.open(options.db) as store:
        compressed = planned.compressed(pictures)
        typed = _typed(options, setup, planned, compressed, pictures, said)
        comparison, of_typed = _timed(document, setup, store, compressed, typed, said)
        promised, comparison = as_promised(document, compressed, comparison, typed, of_typed)
        compared, errors = _fidelity(planned, promised, pictures)
        compared |= _scores(document, setup.network, promised)
        result = _document(document, setup, comparison, compared, errors)
        notes = typed_notes(planned, typed, of_typed, pictures)
        result.in_int8 = [one for one in notes if one.dtype == INT8]
        result.in_half = [one for one in notes if one.dtype != INT8]
        plan_key = store.plans.put(document.model_dump(mode="json"))
        store.plans.add_verification(plan_key, result.model_dump(mode="json"))
    _note(document, options.plan, result)
    if contradiction := _contradiction(document, result):
        raise GoalNotReached(f"verified, but {contradiction}", result)
    return result


def _setup(options: VerifyOptions, plan: documents.Plan, said: Teller) -> Setup:
    """The network on the device, in the type that all others are timed against. Raises what
    `make_setup` does, and `BackendError` or `UsageError` for what cannot be timed whole."""
    policy, backend = plan.policies[0], options.backend or plan.backend or plan.device.backend
    phase = options.phase or policy.get("phase", "inference")
    dtype, reason = timed_against(plan, backend, phase)
    if reason:
        said.message(reason)
    setup = make_setup(
        options.model,
        backend=backend,
        example_input=options.example_input,
        weights=options.weights,
        **asked_of(plan.model),
        threads=options.threads if options.threads is not None else max(policy["threads"], 1),
        phase=phase,
        dtype=dtype,
        **_numerics(plan, options.backend, dtype),
    )
    _check_whole_networks(setup)
    if check := CHECKS.get(options.dtype):
        check(options, setup)
    return setup


def _check_whole_networks(setup: Setup) -> None:
    reason = can_train(setup) if setup.policy.phase == "training" else can_time(setup)
    if reason:
        raise BackendError(f"{reason}; verify with a backend that can, such as onnxruntime-cpu")


def _pictures(planned: PlannedNetwork, options: VerifyOptions) -> Calibration | None:
    """The plan's pictures; for another type any will do where it was made without."""
    if options.dtype != FLOAT32 and options.data is not None:
        return planned.any_pictures(options.data, options.preprocess)
    return planned.pictures(options.data, options.preprocess)


def _typed(
    options: VerifyOptions,
    setup: Setup,
    planned: PlannedNetwork,
    compressed: Network,
    pictures: Calibration | None,
    said: Teller,
) -> Mapping[str, Typed]:
    """Both networks in the type that is asked for, if that is not float32."""
    make = MAKERS.get(options.dtype)
    if make is None:
        return {}
    said.message(f"the original and the compressed network in {options.dtype}")
    return make(options, setup, planned, compressed, pictures)


def _timed(
    document: documents.Plan,
    setup: Setup,
    store: Store,
    compressed: Network,
    typed: Mapping[str, Typed],
    said: Teller,
) -> tuple[Comparison, dict[str, Comparison]]:
    """Compare whole networks, or their training steps, in the phase of the setup; those in another
    type than the setup's by their names."""
    said.message("timing the whole network against the original")
    told = partial(_say_progress, said)
    decisions = document.decisions
    key = content_key([document.model.sha256, {n: d.to_json() for n, d in decisions.items()}])
    others = {n: one for n, one in typed.items() if one.dtype != setup.policy.dtype}
    keys = {name: typed_key(document, name, one.dtype) for name, one in others.items()}
    described: dict[str, object] = {"plan": document.created_at, "source": document.model.source}
    if setup.policy.phase == "training":
        variants = {key: Variant(decisions)}
        return compare_training(setup, store, variants, {key: described}, told=told)[key], {}
    networks = {key: compressed} | {keys[name]: one.network for name, one in others.items()}
    descriptions = {key: described} | {
        keys[name]: {**described, "dtype": one.dtype, "network": name}
        for name, one in others.items()
    }
    dtypes = {keys[name]: one.timed_in for name, one in others.items()}
    found = compare_networks(setup, store, networks, descriptions, told=told, dtypes=dtypes)
    return found[key], {name: found[keys[name]] for name in others}


def _say_progress(said: Teller, done: int, sessions: int) -> None:
    said.progress(done, sessions, "the whole network against the original")


def _numerics(plan: documents.Plan, backend: str | None, dtype: str) -> dict[str, Any]:
    """Execution and numeric mode as the plan's layers were timed: the first means something on the
    plan's own backend only, the second in the plan's own type, too."""
    known = {"execution", *(["numeric_mode"] if dtype == plan.dtype else [])}
    return {} if backend else {n: v for n, v in plan.policies[0].items() if n in known}


def _fidelity(
    planned: PlannedNetwork, compressed: Answering, pictures: Calibration | None
) -> tuple[dict[str, Any], documents.Errors | None]:
    """How close the outputs are on the report split, which nothing else has read; the network
    error by part and by picture."""
    if pictures is None:
        return {}, None
    inputs = pictures.report
    wanted, given = planned.network.outputs(inputs), compressed.outputs(inputs)
    names = pictures.names("report")
    error = NetworkError.of(planned.compared, wanted, given, len(names))
    found = fidelity(planned.compared, wanted, given)
    return {"split": "report", "examples": len(inputs), **found}, error_note(error, names)


def _scores(document: documents.Plan, original: Network, compressed: Answering) -> dict[str, float]:
    """What the plan's own evaluation says of both networks, where it was made with one."""
    objective = document.objective
    score = find_score(objective.get("evaluate"), objective.get("floor"), original)
    if score is None:
        return {}
    return {"original_score": score.original, "score": score.of(compressed)}


def _document(
    plan: documents.Plan,
    setup: Setup,
    comparison: Comparison,
    compared: Mapping[str, Any],
    errors: documents.Errors | None,
) -> documents.VerificationDocument:
    return documents.VerificationDocument(
        latency_s=comparison.latency_s,
        original_latency_s=comparison.original_latency_s,
        speedup=comparison.speedup,
        speedup_low=comparison.speedup_low,
        speedup_high=comparison.speedup_high,
        predicted_speedup=plan.predicted.speedup,
        fidelity=dict(compared),
        errors=errors,
        device=documents.Fingerprint.of(setup.fingerprint),
        at=now_to_the_second(),
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


def _contradiction(document: documents.Plan, result: documents.VerificationDocument) -> str:
    """Return what the plan promised and the measurement denies; empty where they agree."""
    limit = document.objective.get("max_error")
    error = result.fidelity.get("relative_error")
    if limit is not None and error is not None and error > limit:
        return (
            f"the network error on the report split is {error:.4f}, above the plan's limit "
            f"{limit}: plan again with a lower --max-error"
        )
    floor, score = document.objective.get("floor"), result.fidelity.get("score")
    if floor is not None and score is not None and score < floor:
        return (
            f"{document.objective['evaluate']} gives {score:g}, below the plan's floor {floor:g}: "
            "plan again with a higher --floor"
        )
    if document.decisions and result.speedup_high < 1:
        interval = f"[{result.speedup_low:.3f}, {result.speedup_high:.3f}]"
        return f"the compressed network is slower: {result.speedup:.3f} {interval}"
    return ""
