"""`rankwise explain`: counted costs of layers held against what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence

from .. import documents
from ..campaign.explained_layers import Explainer
from ..campaign.rows import rows_of
from ..db.measurement_values import MeasurementFilter
from ..db.store import Store
from ..documents.plan_files import read_plan
from ..errors import UsageError, did_you_mean
from ..options.keywords import takes
from ..options.planning import ExplainOptions
from ..records import Measurement, MeasurementPolicy
from ..search.table import TableRow
from .known_layers import require_layer


@takes(ExplainOptions)
def explain(options: ExplainOptions) -> documents.Explanation:
    """Why layers are or are not faster: every layer of a plan, or all candidates of one layer.

    `device` is a backend or hardware key, needed where the layer was measured on several.
    Raises `UsageError` where nothing was measured, or it is not clear what is asked for.

    >>> found = rw.explain("plan.json", layer="conv")
    >>> fastest = max(found.layers[0].candidates, key=lambda one: one.speedup)
    >>> fastest.verdict, fastest.chain.macs < found.layers[0].original.macs
    ('FASTER', True)
    """
    if options.plan is None and options.layer is None:
        raise UsageError("say what to explain: a plan, or a layer by --layer NAME")
    document = None if options.plan is None else read_plan(options.plan)
    with Store.open(options.db, create=False, readonly=True) as store:
        if document is None and options.layer is not None:
            require_layer(store, options.layer)
        measurements = store.measurements.find(
            MeasurementFilter(
                network_sha=document.model.sha256 if document else None, layer=options.layer
            )
        )
    rows = _one_device(rows_of(_asked(measurements, document, options.device)))
    explainer = Explainer(rows)
    if document is None:
        assert options.layer is not None
        return explainer.document([explainer.all_of(options.layer)])
    chosen = [one for one in document.layers if options.layer in (None, one.name)]
    if not chosen:
        names = [one.name for one in document.layers]
        hint = did_you_mean(options.layer or "", names)
        raise UsageError(f"the plan has no layer {options.layer!r}{hint}")
    every = options.layer is not None
    return explainer.document([explainer.planned(one, every) for one in chosen])


def _asked(
    measurements: Sequence[Measurement], document: documents.Plan | None, device: str | None
) -> list[Measurement]:
    """Return those of the plan's device and policy, or of the device that was named."""
    if document is not None:
        wanted = (document.device.hardware_key, MeasurementPolicy.from_json(document.policies[0]))
        return [m for m in measurements if (m.fingerprint.hardware_key, m.policy) == wanted]
    return [
        m
        for m in measurements
        if device in (None, m.fingerprint.backend, m.fingerprint.hardware_key)
    ]


def _one_device(rows: Sequence[TableRow]) -> list[TableRow]:
    if not rows:
        raise UsageError("nothing was measured of that: run `rankwise profile` first")
    places = {(row.backend, row.hardware_key) for row in rows}
    if len(places) > 1:
        known = ", ".join(sorted(f"{backend} {key}" for backend, key in places))
        raise UsageError(f"that was measured on several devices; choose one: --device ({known})")
    # Among others a layer whose input and output differ has a saving, but no latency.
    rows = [row for row in rows if row.latency_s is not None]
    if not rows:
        raise UsageError("only savings were measured of that, from which nothing can be explained")
    policy = max(rows, key=lambda row: row.measured_at).policy
    return [row for row in rows if row.policy == policy and not row.stale]
