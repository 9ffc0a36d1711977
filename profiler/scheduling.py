"""The order of a sweep's layers: time goes first to where it decides most.

A layer's priority is the seconds a network spends in it (`LayerTask.weight`), times how much its
candidates' intervals leave open: all before anything is measured, little once they are decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log

from .. import stats
from ..records import PairSummary, Verdict

DECIDED_SHARE = 0.1
"""Weight of a decided candidate's interval: its saving still goes into plans."""
UNKNOWN = 1.0
"""Openness of a candidate that was never timed: more than any interval's."""


def worth(weight: float, summaries: Iterable[Sequence[PairSummary]]) -> float:
    """Return the priority of another session of a layer; `summaries` are those of each candidate
    so far."""
    return weight * max(map(openness, summaries), default=0.0)


def openness(summaries: Sequence[PairSummary]) -> float:
    """Return the share of the layer's time that a candidate leaves open: its interval's width."""
    if not summaries:
        return UNKNOWN
    now = stats.combine(summaries)
    width = min(log(now.speedup_high / now.speedup_low), UNKNOWN)
    return width if undecided(summaries) else DECIDED_SHARE * width


def undecided(summaries: Sequence[PairSummary]) -> bool:
    """Return whether more sessions may change the verdict of a candidate that was timed."""
    if not summaries:
        return False
    now = stats.combine(summaries)
    return stats.verdict(now.speedup_low, now.speedup_high) is Verdict.UNDECIDED


def in_order(worths: Mapping[int, float]) -> list[int]:
    """Return the tasks' numbers, highest priority first; equal ones as they came."""
    return sorted(worths, key=lambda number: (-worths[number], number))
