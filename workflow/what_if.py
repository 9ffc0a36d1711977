"""`rankwise what-if`: what a hand-edited plan costs, from what is known already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..campaign.rows import costs, rows_of
from ..campaign.setup import load
from ..db.url import companion
from ..documents.plan_files import read_plan
from ..errors import PlanError
from ..factors.array_cache import ArrayCache
from ..planner.known_errors import KnownErrors
from ..planner.sensitivity import Inputs, Sensitivity
from ..records import ORIGINAL, Decomposition, DeviceFingerprint, LayerSpec, MeasurementPolicy
from ..search.network_model import Forecast, NetworkModel, Part, PlanParts, PlanRun
from ..search.space import standard_error
from ..search.table import SpeedupTable
from ..search.weighted_phases import JOINED
from .apply import assembly_for, plan_pictures
from .store import DEFAULT_DB

if TYPE_CHECKING:
    from ..factors.assembly import Assembly
    from ..search.table import TableRow


def what_if(
    plan: documents.Plan | Path | str,
    model: Any = None,
    example_input: Any = None,
    *,
    calibration: Path | None = None,
    preprocess: str | None = None,
    weights: Path | None = None,
    db: str = DEFAULT_DB,
) -> documents.WhatIf:
    """Time, MACs, parameters and errors of a plan, edited or not; nothing is timed.

    `model` is the plan's own source unless given. The network error is measured on the select
    split if the plan's calibration pictures are given. Raises `PlanError` for a decision that
    is not possible.
    """
    document = read_plan(plan)
    network = load(
        document.model.source if model is None else model,
        example_input=example_input,
        weights=weights,
        input_shape=document.model.input_shape,
    )
    pictures = plan_pictures(document, calibration, preprocess)
    assembly = assembly_for(document, network, pictures, db)
    table = _stored_table(document, db)
    layers = [_layer(layer, assembly, table) for layer in document.layers]
    error = None
    if pictures is not None:
        inputs, cache = Inputs.of(pictures), ArrayCache(companion(db, ".cache"))
        known = KnownErrors(cache, network.sha256, inputs.sha256, factors=assembly.chosen or {})
        sensitivity = Sensitivity(assembly, inputs, known)
        error = sensitivity.measured(document.decisions).value
    rows = _rows(document.decisions, assembly, table)
    forecast = _forecast(document, layers, rows, _planned_run(document, table))
    return _document(document, layers, forecast, error)


def _stored_table(document: documents.Plan, db: str) -> SpeedupTable:
    """What the store has of the plan's network, device and policy."""
    from ..db.store import Store

    device = DeviceFingerprint.of(
        document.device.backend, document.device.hardware, document.device.software
    )
    with Store.open(db, create=False, readonly=True) as store:
        found = store.measurements(
            network_sha=document.model.sha256,
            fingerprint_key=device.key,
            policy_key=MeasurementPolicy.from_json(document.policies[0]).key,
        )
    return SpeedupTable(rows_of(found))


def _layer(
    layer: documents.PlannedLayer, assembly: Assembly, table: SpeedupTable
) -> documents.WhatIfLayer:
    spec = assembly.specs.get(layer.name)
    chosen = layer.decomposition.record()
    if spec is None:
        return _unsupported(layer)
    rows = table.rows(spec.key)
    original_s = rows[0].original_latency_s if rows else None
    row = None if chosen.is_original else table.get((spec.key, chosen))
    macs, params = costs(spec, chosen)
    known = chosen.is_original or row is not None
    return documents.WhatIfLayer(
        name=layer.name,
        decomposition=layer.decomposition,
        original_latency_s=row.original_latency_s if row else original_s,
        latency_s=original_s if chosen.is_original else row.latency_s if row else None,
        speedup=row.speedup if row else None,
        verdict=row.verdict.value if row else None,
        macs=macs,
        params=params,
        layer_error=assembly.layer_error(layer.name, chosen),
        note="" if known else "not measured on this device: profile it with --rank-quantum",
    )


def _unsupported(layer: documents.PlannedLayer) -> documents.WhatIfLayer:
    if layer.decomposition.kind != ORIGINAL.kind:
        raise PlanError(f"layer {layer.name!r} cannot be decomposed: {layer.reason}")
    return documents.WhatIfLayer(
        name=layer.name,
        decomposition=layer.decomposition,
        original_latency_s=None,
        latency_s=None,
        speedup=None,
        verdict=None,
        macs=0,
        params=0,
        layer_error=None,
        note=layer.reason,
    )


def _rows(
    decisions: Mapping[str, Decomposition], assembly: Assembly, table: SpeedupTable
) -> list[TableRow] | None:
    """The rows of the replaced layers; None if one was never measured."""
    found = [table.get((assembly.spec(name).key, d)) for name, d in decisions.items()]
    known = [row for row in found if row is not None]
    return known if len(known) == len(found) else None


def _planned_run(document: documents.Plan, table: SpeedupTable) -> PlanRun | None:
    """What is known of the network as it was planned: a layer's measurements and the whole
    plan's prediction stand in the document as before any edit. None where no whole network was
    timed, or the store does not have those measurements any more."""
    predicted, parts = document.predicted, []
    if not predicted.runs or predicted.speedup is None:
        return None
    if predicted.speedup_low is None or predicted.speedup_high is None:
        return None
    for layer in document.layers:
        if layer.spec is not None and layer.speedup is not None:
            planned = JOINED.join(layer.measurement_ids)
            rows = table.rows(LayerSpec.from_json(layer.spec).key)
            found = [row for row in rows if row.measurement_id == planned]
            if not found:
                return None
            parts.append(_part(found[0]))
    interval = predicted.speedup_low, predicted.speedup_high
    return PlanRun.of_speedup(_plan(parts), predicted.speedup, interval)


def _part(row: TableRow) -> Part:
    return Part(row.measurement_id, row.saving_s, standard_error(row))


def _plan(parts: Sequence[Part]) -> PlanParts:
    return PlanParts(" ".join(sorted(part.key for part in parts)), tuple(parts))


def _forecast(
    document: documents.Plan,
    layers: Sequence[documents.WhatIfLayer],
    rows: list[TableRow] | None,
    planned: PlanRun | None,
) -> tuple[float | None, Forecast | None]:
    """The original's latency, and the edited network's speedup: by its layers, and by what is
    known of the network as it was planned."""
    original_s = _original_latency(document, layers)
    if original_s is None or rows is None:
        return original_s, None
    model = NetworkModel(original_s, [planned] if planned else [])
    return original_s, model.forecast(_plan([_part(row) for row in rows]))


def _original_latency(
    document: documents.Plan, layers: Sequence[documents.WhatIfLayer]
) -> float | None:
    """As the plan has it, where the whole network was timed; else the sum of its layers."""
    predicted = document.predicted
    if predicted.latency_s is not None and predicted.speedup is not None:
        return predicted.latency_s * predicted.speedup
    known = [one.original_latency_s for one in layers if one.original_latency_s is not None]
    return fsum(known) if known else None


def _document(
    document: documents.Plan,
    layers: list[documents.WhatIfLayer],
    forecast: tuple[float | None, Forecast | None],
    error: float | None,
) -> documents.WhatIf:
    original_s, found = forecast
    before = [costs(LayerSpec.from_json(one.spec), ORIGINAL) for one in document.layers if one.spec]
    return documents.WhatIf(
        model=document.model,
        device=document.device,
        original_latency_s=original_s,
        latency_s=original_s / found.speedup if original_s and found else None,
        speedup=found.speedup if found else None,
        speedup_low=found.speedup_low if found else None,
        speedup_high=found.speedup_high if found else None,
        macs=sum(one.macs for one in layers),
        original_macs=sum(macs for macs, _ in before),
        params=sum(one.params for one in layers),
        original_params=sum(params for _, params in before),
        network_error=error,
        layers=layers,
    )
