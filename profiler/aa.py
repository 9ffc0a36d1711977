"""A/A tests: a layer against itself, where any ratio but 1 is the machine's or the method's error.

Two preparations of one workload are compared like an original and a candidate. An honest 95%
interval misses 1.0 in one pair of twenty; a verdict FASTER or SLOWER is always wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from .. import stats
from ..backends.base import ChainWorkload
from ..ops.chain import Chain
from ..records import Comparison, Effort, PairSummary, Verdict
from .executor import Executor
from .session import SessionEnded, WorkloadFailed, run_session

TAIL = 0.01
"""Chance with which a sound machine has more misses than `allowed_misses`."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over many pairs. `spread` is the median distance of the estimated ratio from 1."""

    pairs: int
    missed: int
    wrong: int
    spread: float
    rounds: float


def aa_pair(executor: Executor, chain: Chain, effort: Effort, seed: int) -> Comparison:
    """Compare two preparations of the same chain, over `effort.preparations` sessions.
    Raises `RuntimeError` with the reason if it could not be timed."""
    summaries: list[PairSummary] = []
    for preparation in range(effort.preparations):
        first, second = ChainWorkload("first", chain), ChainWorkload("second", chain)
        for event in run_session(executor, first, [second], effort, (seed, preparation)):
            if isinstance(event, WorkloadFailed):
                raise RuntimeError(event.failure.reason)
            if isinstance(event, SessionEnded):
                summaries.extend(event.summaries.values())
    return stats.combine(summaries, planned=effort.preparations)


def tally(pairs: Sequence[Comparison], truth: float = 1.0) -> Tally:
    """Count misses of the true ratio; `wrong` are verdicts that contradict it."""
    right = stats.verdict(truth, truth)
    verdicts = [stats.verdict(one.speedup_low, one.speedup_high) for one in pairs]
    return Tally(
        pairs=len(pairs),
        missed=sum(not one.speedup_low <= truth <= one.speedup_high for one in pairs),
        wrong=sum(v not in (right, Verdict.UNDECIDED) for v in verdicts),
        spread=float(np.median([abs(log(one.speedup / truth)) for one in pairs])),
        rounds=float(np.median([one.rounds for one in pairs])),
    )


def allowed_misses(pairs: int, rate: float = 0.05) -> int:
    """Return the number of misses that a sound machine exceeds with a chance below `TAIL`."""
    probability, total = (1 - rate) ** pairs, 0.0
    for misses in range(pairs + 1):
        total += probability
        if 1 - total < TAIL:
            return misses
        probability *= (pairs - misses) / (misses + 1) * rate / (1 - rate)
    return pairs


def spread_of(comparisons: Sequence[Comparison]) -> float:
    """Return the median of the intervals' relative half-widths."""
    return float(np.median([one.speedup_high / one.speedup - 1 for one in comparisons]))
