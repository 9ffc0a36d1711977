"""`rankwise explain`: counted costs of layers held against what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import documents
from ..campaign.rows import rows_of
from ..documents.plan_files import read_plan
from ..errors import UsageError
from ..records import ORIGINAL, Decomposition, LayerSpec, MeasurementPolicy, element_bytes
from ..search.explanation import Cost, Neighbour, Roofs, reasons
from .store import DEFAULT_DB

if TYPE_CHECKING:
    from ..records import Measurement
    from ..search.table import TableRow


def explain(
    plan: documents.Plan | Path | str | None = None,
    *,
    layer: str | None = None,
    device: str | None = None,
    db: str = DEFAULT_DB,
) -> documents.Explanation:
    """Why layers are or are not faster: every layer of a plan, or all candidates of one layer.

    `device` is a backend or hardware key, needed where the layer was measured on several.
    Raises `UsageError` where nothing was measured, or it is not clear what is asked for.
    """
    from ..db.store import Store

    if plan is None and layer is None:
        raise UsageError("say what to explain: a plan, or a layer by --layer NAME")
    document = None if plan is None else read_plan(plan)
    with Store.open(db, create=False, readonly=True) as store:
        found = store.measurements(
            network_sha=document.model.sha256 if document else None, layer=layer
        )
    rows = _one_device(rows_of(_asked(found, document, device)))
    explainer = _Explainer(rows)
    if document is None:
        assert layer is not None
        return explainer.document([explainer.all_of(layer)])
    chosen = [one for one in document.layers if layer in (None, one.name)]
    if not chosen:
        raise UsageError(f"the plan has no layer {layer!r}")
    every = layer is not None
    return explainer.document([explainer.planned(one, every) for one in chosen])


def _asked(
    found: Sequence[Measurement], document: documents.Plan | None, device: str | None
) -> list[Measurement]:
    """Of the plan's device and policy, or of the device that was named."""
    if document is not None:
        wanted = (document.device.hardware_key, MeasurementPolicy.from_json(document.policies[0]))
        return [m for m in found if (m.fingerprint.hardware_key, m.policy) == wanted]
    return [m for m in found if device in (None, m.fingerprint.backend, m.fingerprint.hardware_key)]


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


class _Explainer:
    """The rows of one device and policy."""

    def __init__(self, rows: Sequence[TableRow]) -> None:
        self.first = rows[0]
        self.rows: dict[str, list[TableRow]] = {}
        for row in rows:
            for name in row.layers:
                self.rows.setdefault(name, []).append(row)
        costs = [cost(row.spec, d, row) for row in rows for d in (row.decomposition, ORIGINAL)]
        self.roofs = Roofs.of(costs)

    def document(self, layers: list[documents.ExplainedLayer]) -> documents.Explanation:
        first = self.first
        return documents.Explanation(
            device=documents.RowDevice(
                backend=first.backend,
                hardware_key=first.hardware_key,
                software_key=first.software_key,
            ),
            policy=first.policy.to_json(),
            ridge_macs_per_byte=self.roofs.ridge,
            layers=layers,
        )

    def all_of(self, name: str, reason: str = "") -> documents.ExplainedLayer:
        rows = self.rows.get(name, [])
        return self._layer(name, reason, rows)

    def planned(self, layer: documents.PlannedLayer, every: bool) -> documents.ExplainedLayer:
        rows = self.rows.get(layer.name, [])
        if every or not rows:
            return self._layer(layer.name, layer.reason, rows)
        chosen = layer.decomposition.record()
        of_plan = [row for row in rows if row.decomposition == chosen]
        return self._layer(
            layer.name, layer.reason, of_plan or [max(rows, key=lambda row: row.speedup)]
        )

    def _layer(self, name: str, reason: str, rows: Sequence[TableRow]) -> documents.ExplainedLayer:
        return documents.ExplainedLayer(
            name=name,
            count=rows[0].count if rows else 1,
            reason=reason,
            original=_cost_note(cost(rows[0].spec, ORIGINAL, rows[0])) if rows else None,
            candidates=[self._candidate(row) for row in rows],
        )

    def _candidate(self, row: TableRow) -> documents.ExplainedCandidate:
        chain = cost(row.spec, row.decomposition, row)
        ranks = row.decomposition.ranks
        kin = [
            Neighbour(other.decomposition.ranks, other.latency_s)
            for other in self.rows[row.layer]
            if _shape(other.decomposition) == _shape(row.decomposition)
        ]
        original = cost(row.spec, ORIGINAL, row)
        return documents.ExplainedCandidate(
            decomposition=documents.Decomposition.of(row.decomposition),
            verdict=row.verdict,
            speedup=row.speedup,
            speedup_low=row.speedup_low,
            speedup_high=row.speedup_high,
            chain=_cost_note(chain),
            reasons=reasons(original, chain, ranks, row.verdict, self.roofs, kin),
            measurement_id=row.measurement_id,
        )


def _shape(decomposition: Decomposition) -> tuple[str, int]:
    return decomposition.kind, decomposition.groups


def cost(spec: LayerSpec, decomposition: Decomposition, row: TableRow) -> Cost:
    """Counted costs of a layer computed one way, with the latency of its row."""
    from ..lowrank import lower

    chain = lower(spec, decomposition)
    batch = row.policy.batch
    return Cost(
        macs=chain.macs * batch,
        moved_bytes=chain.bytes_moved(batch, element_bytes(row.policy.dtype)),
        launches=len(chain.links),
        latency_s=row.original_latency_s if decomposition.is_original else row.latency_s,
    )


def _cost_note(found: Cost) -> documents.LayerCost:
    return documents.LayerCost(
        macs=found.macs,
        moved_bytes=found.moved_bytes,
        launches=found.launches,
        latency_s=found.latency_s,
        macs_per_byte=found.intensity,
        macs_per_s=found.macs_per_s,
    )
