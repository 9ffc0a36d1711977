"""`rankwise what-if`: what a hand-edited plan costs, from what is known already."""

from __future__ import annotations

from .. import documents
from ..campaign.rows import rows_of
from ..db.measurement_values import MeasurementFilter
from ..db.store import Store
from ..db.url import companion
from ..factors.assembly import Assembly
from ..factors.planned_network import PlannedNetwork
from ..models.notes import error_note
from ..models.pictures import Calibration
from ..options.keywords import arguments_for, takes
from ..options.planning import WhatIfOptions
from ..planner.edited_plan import EditedPlan
from ..planner.inputs import Inputs
from ..planner.measured_errors import MeasuredErrors
from ..planner.precision import InInt8
from ..planner.progress import Progress
from ..records import DeviceFingerprint, MeasurementPolicy
from ..reporter import Silent
from ..search.table import SpeedupTable


@takes(WhatIfOptions)
def what_if(options: WhatIfOptions) -> documents.WhatIf:
    """Return time, MACs, parameters and errors of a plan, edited or not; nothing is timed.

    `model` is the plan's own source unless given. The network error is measured on the select
    split if the plan's calibration pictures are given; of a plan in int8 it is that of the
    quantised network, and speedups are over the original in int8. Raises `PlanError` for a
    decision that is not possible.

    >>> edited = plan.model_copy(deep=True)
    >>> edited.layers[0].decomposition.ranks = (32,)
    >>> found = rw.what_if(edited, network, example)
    >>> found.macs < found.original_macs, found.speedup < plan.predicted.speedup
    (True, True)
    """
    planned = PlannedNetwork.load(
        **arguments_for(PlannedNetwork.load, options, cache=companion(options.db, ".cache"))
    )
    pictures = planned.pictures(options.calibration, options.preprocess)
    assembly = planned.assembly(pictures)
    if planned.plan.in_int8 and pictures is not None:
        assembly = assembly.in_form(InInt8(planned.network, pictures, planned.compared))
    edited = EditedPlan(planned.plan, assembly, _stored_table(planned.plan, options.db))
    error, errors = _network_error(planned, assembly, pictures)
    return _document(edited, error, errors)


def _stored_table(document: documents.Plan, db: str) -> SpeedupTable:
    """Return the rows of the plan's network, device and policy."""
    device = DeviceFingerprint.of(
        document.device.backend, document.device.hardware, document.device.software
    )
    with Store.open(db, create=False, readonly=True) as store:
        wanted = MeasurementFilter(
            network_sha=document.model.sha256,
            fingerprint_key=device.key,
            policy_key=MeasurementPolicy.from_json(document.policies[0]).key,
        )
        measurements = store.measurements.find(wanted)
    return SpeedupTable(rows_of(measurements))


def _network_error(
    planned: PlannedNetwork, assembly: Assembly, pictures: Calibration | None
) -> tuple[float | None, documents.Errors | None]:
    """Measure the network error on the select split, unless it is known already."""
    if pictures is None:
        return None, None
    inputs, progress = Inputs.of(pictures, "select"), Progress(Silent())
    errors = MeasuredErrors(assembly, planned.compared, inputs, progress)
    found = errors.of(planned.plan.decisions)
    return found.value, error_note(found, inputs.names)


def _document(
    edited: EditedPlan, network_error: float | None, errors: documents.Errors | None
) -> documents.WhatIf:
    plan, layers = edited.plan, edited.layers()
    original_s = edited.original_latency_s(layers)
    forecast = edited.forecast(original_s)
    original_macs, original_params = edited.original_costs
    return documents.WhatIf(
        model=plan.model,
        device=plan.device,
        original_latency_s=original_s,
        latency_s=original_s / forecast.speedup if original_s and forecast else None,
        speedup=forecast.speedup if forecast else None,
        speedup_low=forecast.speedup_low if forecast else None,
        speedup_high=forecast.speedup_high if forecast else None,
        macs=sum(one.macs for one in layers),
        original_macs=original_macs,
        params=sum(one.params for one in layers),
        original_params=original_params,
        network_error=network_error,
        errors=errors,
        layers=layers,
    )
