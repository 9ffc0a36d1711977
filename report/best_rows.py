"""The best of each layer: the fastest candidate at each rank budget, and what it loses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from .. import documents
from .cells import decomposition

BUDGETS: Mapping[str, float] = {"keeps 3/4": 0.75, "keeps 1/2": 0.5, "keeps 1/4": 0.25, "any": 0.0}
"""A rank budget is the share of the layer's multiply-accumulates that its ranks keep at least."""

Rows = Sequence[documents.Row]


@dataclass(frozen=True, slots=True)
class LayerRows:
    """The rows of one spec on one device under one policy."""

    rows: Rows

    @property
    def first(self) -> documents.Row:
        return self.rows[0]

    @property
    def original_s(self) -> float:
        """Seconds of all layers that share the spec; 0 where only savings are known."""
        known = [row.original_latency_s for row in self.rows if row.original_latency_s is not None]
        return median(known) * self.first.count if known else 0.0

    def saved_s(self, row: documents.Row) -> float:
        """Seconds that a candidate saves of `original_s`. A speedup is of pairs that were timed in
        turns, so it holds when the machine is slow, too; the seconds that one session saw saved may
        be more than the whole layer takes in another."""
        if row.speedup is None or not self.original_s:
            return row.saving_s * row.count
        return self.original_s * (1 - 1 / row.speedup)

    def best(self, keeps: float = 0.0) -> documents.Row | None:
        """The candidate that saves most of those that are faster and keep that share of MACs."""
        found = [
            row
            for row in self.rows
            if row.verdict == "FASTER" and row.macs >= keeps * row.original_macs
        ]
        return max(found, key=self.saved_s, default=None)

    def best_saved_s(self, keeps: float = 0.0) -> float:
        """Seconds that the best candidate saves of `original_s`; 0 where nothing is faster."""
        best = self.best(keeps)
        return 0.0 if best is None else self.saved_s(best)


def by_layer(rows: Iterable[documents.Row]) -> list[LayerRows]:
    """Return the rows by spec, device and policy, in the order given; stale rows are left out."""
    groups: dict[tuple[object, ...], list[documents.Row]] = {}
    for row in rows:
        if not row.stale:
            groups.setdefault((row.spec_key, row.setting), []).append(row)
    return [LayerRows(group) for group in groups.values()]


def best_rows(rows: Rows) -> list[documents.Row]:
    """Return the rows that are the best of their layer at some rank budget."""
    chosen = {id(one): one for layer in by_layer(rows) for one in _chosen(layer)}
    return [row for row in rows if id(row) in chosen]


def _chosen(layer: LayerRows) -> Iterator[documents.Row]:
    for keeps in BUDGETS.values():
        if (row := layer.best(keeps)) is not None:
            yield row


def budget_cells(layer: LayerRows) -> list[str]:
    """Return a cell for each budget: decomposition, speedup, and what is lost: the error that the
    candidate alone brings, or where nobody has looked, the share of the multiply-accumulates."""
    return [_budget_cell(layer.best(keeps)) for keeps in BUDGETS.values()]


def _budget_cell(row: documents.Row | None) -> str:
    if row is None:
        return "-"
    speedup = "" if row.speedup is None else f" {row.speedup:.2f}x"
    return f"{decomposition(row.decomposition)}{speedup} {_lost(row)}"


def _lost(row: documents.Row) -> str:
    if row.network_error is not None:
        return f"err {row.network_error:.3f}"
    lost = 1 - row.macs / row.original_macs if row.original_macs else 0.0
    return f"-{lost:.0%}"
