"""Rows of two phases as one: a plan for inference and training at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .combined_rows import combined
from .table import TableRow


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
    weights = 1 - training_weight, training_weight * scale
    return [
        combined(list(zip(weights, pair, strict=True)), [row.measurement_id for row in pair])
        for pair in pairs
    ]


def _network_seconds(rows: Sequence[TableRow]) -> float:
    """Seconds that the original network takes, by its layers alone."""
    each = {row.spec_key: row.original_latency_s * max(1, row.count) for row in rows}
    return math.fsum(each.values())
