"""Rows of the speedup table that stand for several: what a layer saves over all of its calls."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from .. import stats
from ..records import Decomposition, LayerUse
from .table import SpeedupTable, TableRow

JOINED = "+"
"""What stands between the measurement ids of a row that was made of several."""


def combined(rows: Sequence[tuple[float, TableRow]], ids: Sequence[str]) -> TableRow:
    """Return the weighted sum of rows as a row, otherwise like the first of them.

    Intervals of different rows are independent, so their half-widths add up in squares.
    """
    latency = math.fsum(weight * row.latency_s for weight, row in rows)
    original = math.fsum(weight * row.original_latency_s for weight, row in rows)
    saving = math.fsum(weight * row.saving_s for weight, row in rows)
    low = math.hypot(*(weight * (row.saving_s - row.saving_low_s) for weight, row in rows))
    high = math.hypot(*(weight * (row.saving_high_s - row.saving_s) for weight, row in rows))
    bounds = [original / max(original - s, 1e-30) for s in (saving - low, saving + high)]
    return replace(
        rows[0][1],
        latency_s=latency,
        original_latency_s=original,
        saving_s=saving,
        saving_low_s=saving - low,
        saving_high_s=saving + high,
        speedup=original / latency,
        speedup_low=min(bounds[0], original / latency),
        speedup_high=max(bounds[1], original / latency),
        verdict=stats.verdict(bounds[0], bounds[1]),
        measurement_id=JOINED.join(ids),
    )


def layer_rows(table: SpeedupTable, use: LayerUse) -> tuple[TableRow, ...]:
    """Return the rows of a layer: those of its spec, or sums over the specs that it is called with,
    of the candidates that were measured for all of these."""
    if use.spec is None:
        return ()
    rows = table.rows(use.spec.key)
    if len(use.every_call) == 1:
        return rows
    summed = (layer_row(table, use, row.decomposition) for row in rows)
    return tuple(row for row in summed if row is not None)


def layer_row(table: SpeedupTable, use: LayerUse, decomposition: Decomposition) -> TableRow | None:
    """Return a layer's row of one candidate; None where that was not measured."""
    if use.spec is None:
        return None
    calls = Counter({use.spec.key: 0})  # first, because the row says which spec it is of
    calls.update(spec.key for spec in use.every_call)
    found = {key: table.get((key, decomposition)) for key in calls}
    rows = [(count, row) for key, count in calls.items() if (row := found[key]) is not None]
    if len(rows) < len(calls) or calls.total() == 1:
        return found[use.spec.key] if calls.total() == 1 else None
    ids = [row.measurement_id for count, row in rows for _ in range(count)]
    macs = sum(count * row.macs for count, row in rows)
    original_macs = sum(count * row.original_macs for count, row in rows)
    return replace(combined(rows, ids), macs=macs, original_macs=original_macs)
