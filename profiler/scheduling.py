"""Where time is spent first, because there it decides most.

What is at stake in a layer is the seconds a network spends in it (`LayerTask.weight`). Before
anything is known of it that is all; afterwards a layer whose candidates are decided has
little left to say, and an undecided one the more, the wider its intervals are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log

from .. import stats
from ..records import PairSummary, Verdict

DECIDED_SHARE = 0.1
"""What a decided candidate's interval counts: its saving still goes into plans."""
UNKNOWN = 1.0
"""What a candidate counts that has not been timed at all: more than any interval."""


def worth(weight: float, summaries: Iterable[Sequence[PairSummary]]) -> float:
    """Seconds at stake in another session of a layer's candidates; `summaries` are those of
    each candidate so far."""
    return weight * max((openness(found) for found in summaries), default=0.0)


def openness(summaries: Sequence[PairSummary]) -> float:
    """How much of the layer's time a candidate leaves open: the width of its interval."""
    if not summaries:
        return UNKNOWN
    now = stats.combine(summaries)
    width = min(log(now.speedup_high / now.speedup_low), UNKNOWN)
    return width if undecided(summaries) else DECIDED_SHARE * width


def undecided(summaries: Sequence[PairSummary]) -> bool:
    """Would more sessions still change what is said of this candidate?"""
    if not summaries:
        return True
    now = stats.combine(summaries)
    return stats.verdict(now.speedup_low, now.speedup_high) is Verdict.UNDECIDED


def in_order(worths: Mapping[int, float]) -> list[int]:
    """The tasks' numbers, most worth first; equal ones as they came."""
    return sorted(worths, key=lambda number: (-worths[number], number))
