"""What a plan costs that was edited by hand, from what is known already: nothing is timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from .. import documents
from ..campaign.rows import use_costs
from ..errors import PlanError
from ..factors.assembly import Assembly
from ..records import ORIGINAL, LayerUse
from ..search.combined_rows import JOINED, layer_row, layer_rows
from ..search.network_model import Forecast, NetworkModel, Part, PlanParts, PlanRun
from ..search.space import standard_error
from ..search.table import SpeedupTable, TableRow


@dataclass(frozen=True, slots=True)
class EditedPlan:
    """A plan, the factors of its network, and the rows of its network, device and policy."""

    plan: documents.Plan
    assembly: Assembly
    table: SpeedupTable

    @property
    def _uses(self) -> dict[str, LayerUse]:
        return {use.name: use for use in self.assembly.network.layers}

    @property
    def original_costs(self) -> tuple[int, int]:
        """The MACs and parameters of the plan's layers as they were."""
        uses = [self._uses[layer.name] for layer in self.plan.layers if layer.spec is not None]
        each = [use_costs(use, ORIGINAL) for use in uses]
        return sum(macs for macs, _ in each), sum(params for _, params in each)

    def layers(self) -> list[documents.WhatIfLayer]:
        """Return each layer's cost; raise `PlanError` for a decision that is not possible."""
        return [self._layer(layer) for layer in self.plan.layers]

    def _layer(self, layer: documents.PlannedLayer) -> documents.WhatIfLayer:
        use = self._uses.get(layer.name)
        if use is None or use.spec is None:
            return _unsupported(layer)
        chosen = layer.decomposition.record()
        rows = layer_rows(self.table, use)
        original_s = rows[0].original_latency_s if rows else None
        row = None if chosen.is_original else layer_row(self.table, use, chosen)
        macs, params = use_costs(use, chosen)
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
            layer_error=self.assembly.layer_error(layer.name, chosen),
            note="" if known else "not measured on this device: profile it with --rank-quantum",
        )

    def original_latency_s(self, layers: Sequence[documents.WhatIfLayer]) -> float | None:
        """Return the plan's latency where the whole network was timed, else its layers' sum."""
        predicted = self.plan.predicted
        if predicted.latency_s is not None and predicted.speedup is not None:
            return predicted.latency_s * predicted.speedup
        known = [one.original_latency_s for one in layers if one.original_latency_s is not None]
        return fsum(known) if known else None

    def forecast(self, original_s: float | None) -> Forecast | None:
        """Forecast the speedup from the layers, and from the network as it was planned; None
        where a replaced layer was never measured."""
        decisions = self.plan.decisions
        rows = [layer_row(self.table, self._uses[n], d) for n, d in decisions.items()]
        known = [row for row in rows if row is not None]
        if original_s is None or len(known) < len(rows):
            return None
        planned = self._planned_run()
        model = NetworkModel(original_s, [planned] if planned else [])
        return model.forecast(_plan_parts(known))

    def _planned_run(self) -> PlanRun | None:
        """Return what is known of the network as it was planned: a layer's measurements and the
        whole plan's prediction stand in the document as before any edit. None where no whole
        network was timed, or the store does not have those measurements any more."""
        predicted = self.plan.predicted
        if not predicted.runs or predicted.speedup is None:
            return None
        if predicted.speedup_low is None or predicted.speedup_high is None:
            return None
        rows = []
        for layer in self.plan.layers:
            if layer.spec is not None and layer.speedup is not None:
                planned = JOINED.join(layer.measurement_ids)
                of_layer = layer_rows(self.table, self._uses[layer.name])
                row = next((row for row in of_layer if row.measurement_id == planned), None)
                if row is None:
                    return None
                rows.append(row)
        interval = predicted.speedup_low, predicted.speedup_high
        return PlanRun.of_speedup(_plan_parts(rows), predicted.speedup, interval)


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


def _plan_parts(rows: Sequence[TableRow]) -> PlanParts:
    parts = [Part(row.measurement_id, row.saving_s, standard_error(row)) for row in rows]
    return PlanParts(" ".join(sorted(part.key for part in parts)), tuple(parts))
