"""Why layers are or are not faster, as documents: counted costs beside measured times."""

from __future__ import annotations

from collections.abc import Sequence

from .. import documents
from ..lowrank import lower
from ..records import ORIGINAL, Decomposition, element_bytes
from ..search.explanation import Cost, Neighbour, Roofs, reasons
from ..search.table import TableRow


class Explainer:
    """Explains layers by the rows of one device and policy; there has to be one at least."""

    def __init__(self, rows: Sequence[TableRow]) -> None:
        self.first = rows[0]
        self.rows: dict[str, list[TableRow]] = {}
        for row in rows:
            for name in row.layers:
                self.rows.setdefault(name, []).append(row)
        self.roofs = Roofs.of(
            counted(row, d) for row in rows for d in (row.decomposition, ORIGINAL)
        )

    def document(self, layers: list[documents.ExplainedLayer]) -> documents.Explanation:
        return documents.Explanation(
            device=documents.RowDevice.of(self.first),
            policy=self.first.policy.to_json(),
            ridge_macs_per_byte=self.roofs.ridge,
            layers=layers,
        )

    def all_of(self, name: str) -> documents.ExplainedLayer:
        """Explain every candidate of a layer."""
        return self._layer(name, "", self.rows.get(name, []))

    def planned(self, layer: documents.PlannedLayer, every: bool) -> documents.ExplainedLayer:
        """Explain a plan's choice, or the fastest candidate of a layer that is kept; or `every`
        candidate."""
        rows = self.rows.get(layer.name, [])
        if every or not rows:
            return self._layer(layer.name, layer.reason, rows)
        chosen = layer.decomposition.record()
        of_plan = [row for row in rows if row.decomposition == chosen]
        fastest = max(rows, key=lambda row: row.speedup)
        return self._layer(layer.name, layer.reason, of_plan or [fastest])

    def _layer(self, name: str, reason: str, rows: Sequence[TableRow]) -> documents.ExplainedLayer:
        return documents.ExplainedLayer(
            name=name,
            count=rows[0].count if rows else 1,
            reason=reason,
            original=documents.LayerCost.of(counted(rows[0], ORIGINAL)) if rows else None,
            candidates=[self._candidate(row) for row in rows],
        )

    def _candidate(self, row: TableRow) -> documents.ExplainedCandidate:
        chain = counted(row, row.decomposition)
        ranks = row.decomposition.ranks
        kin = [
            Neighbour(other.decomposition.ranks, other.latency_s)
            for other in self.rows[row.layer]
            if _shape(other.decomposition) == _shape(row.decomposition)
        ]
        original = counted(row, ORIGINAL)
        return documents.ExplainedCandidate(
            decomposition=documents.Decomposition.of(row.decomposition),
            verdict=row.verdict,
            speedup=row.speedup,
            speedup_low=row.speedup_low,
            speedup_high=row.speedup_high,
            chain=documents.LayerCost.of(chain),
            reasons=reasons(original, chain, ranks, row.verdict, self.roofs, kin),
            measurement_id=row.measurement_id,
        )


def _shape(decomposition: Decomposition) -> tuple[str, int, str]:
    return decomposition.kind, decomposition.groups, decomposition.precision


def counted(row: TableRow, decomposition: Decomposition) -> Cost:
    """Return what the row's layer takes when it is computed in this way."""
    chain = lower(row.spec, decomposition)
    batch, dtype = row.policy.batch, decomposition.precision or row.policy.dtype
    return Cost(
        macs=chain.macs * batch,
        moved_bytes=chain.bytes_moved(batch, element_bytes(dtype)),
        launches=len(chain.links),
        latency_s=row.original_latency_s if decomposition.is_original else row.latency_s,
    )
