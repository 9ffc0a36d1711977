"""Rows of two phases as one: a plan for inference and training at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from .. import stats
from .table import TableRow

JOINED = "+"
"""What stands between the measurement ids of a row that was made of two."""


def weighed_rows(
    inference: Sequence[TableRow], training: Sequence[TableRow], training_weight: float
) -> list[TableRow]:
    """One row for each candidate that was measured in both phases, with inference's policy.

    Seconds are inference seconds: a training second counts as many of them as make both phases
    of the original network equally long, and then `training_weight` of the whole. Intervals of
    the two savings are independent, so their half-widths add up in squares.
    """
    other = {(row.spec_key, row.decomposition): row for row in training}
    matched = [(row, other.get((row.spec_key, row.decomposition))) for row in inference]
    pairs = [(one, two) for one, two in matched if two is not None]
    training_s = max(_network_seconds([two for _, two in pairs]), 1e-30)
    scale = _network_seconds([one for one, _ in pairs]) / training_s
    return [_weighed(one, two, 1 - training_weight, training_weight * scale) for one, two in pairs]


def _network_seconds(rows: Sequence[TableRow]) -> float:
    """Seconds that the original network takes, by its layers alone."""
    each = {row.spec_key: row.original_latency_s * max(1, row.count) for row in rows}
    return math.fsum(each.values())


def _weighed(one: TableRow, two: TableRow, first: float, second: float) -> TableRow:
    latency = first * one.latency_s + second * two.latency_s
    original = first * one.original_latency_s + second * two.original_latency_s
    saving = first * one.saving_s + second * two.saving_s
    low = math.hypot(
        first * (one.saving_s - one.saving_low_s), second * (two.saving_s - two.saving_low_s)
    )
    high = math.hypot(
        first * (one.saving_high_s - one.saving_s), second * (two.saving_high_s - two.saving_s)
    )
    bounds = [original / max(original - s, 1e-30) for s in (saving - low, saving + high)]
    return replace(
        one,
        latency_s=latency,
        original_latency_s=original,
        saving_s=saving,
        saving_low_s=saving - low,
        saving_high_s=saving + high,
        speedup=original / latency,
        speedup_low=min(bounds[0], original / latency),
        speedup_high=max(bounds[1], original / latency),
        verdict=stats.verdict(bounds[0], bounds[1]),
        measurement_id=JOINED.join((one.measurement_id, two.measurement_id)),
    )
