"""Training steps and forward passes in turns, for benchmarks that keep their own results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rankwise import stats
from rankwise.network_timing.training_runs import PROCESSES, timed_rounds
from rankwise.records import Comparison, PairSummary


def compare_rounds(
    request: Mapping[str, Any], original: str, processes: int = PROCESSES
) -> dict[str, Comparison]:
    """Every other variant of a request against `original`, over fresh processes."""
    summaries: dict[str, list[PairSummary]] = {}
    for number in range(processes):
        rows = [found["seconds"] for found in timed_rounds({**request, "seed": number})]
        first = np.array([row[original] for row in rows])
        for key in request["variants"]:
            if key != original:
                pair = stats.summarize_pairs(first, np.array([row[key] for row in rows]))
                summaries.setdefault(key, []).append(pair)
    return {key: stats.combine(found, spent=0.0) for key, found in summaries.items()}
