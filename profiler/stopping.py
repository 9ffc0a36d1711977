"""The rule that says when a candidate has been timed enough in this session.

It looks at the data only at scheduled rounds, `stats.EARLY_LOOKS` times before the last one,
because every look costs confidence. It stops

- on a verdict, if the session alone decides it at `stats.LOOK_CONFIDENCE` (the share of the
  error rate that this spends is what `stats.combine` takes off the published interval) and
  the interval is not far from the one wanted: a plan needs the saving, not only its sign;
- on the interval wanted, if as many such sessions as there will be preparations would give
  it. This and the next reason look at the width only, which says nothing about the side on
  which the truth lies;
- when the interval has stopped narrowing;
- at the last round.
"""

from __future__ import annotations

import numpy as np

from .. import stats
from ..records import Effort, PairSummary, Verdict

GROWTH = 1.4
"""Least ratio of the rounds of two looks in a row."""
DECIDED_WIDTH = 2.5
"""A verdict stops the rounds once the half-width is below this many times the one wanted."""


def look_schedule(min_rounds: int, max_rounds: int) -> tuple[int, ...]:
    """Return the rounds at which to look: growing by two fifths or more, the last is
    `max_rounds`, and never more than `stats.EARLY_LOOKS` come before it."""
    first = max(min_rounds, stats.MIN_ROUNDS)
    last = max(max_rounds, first)
    growth = max(GROWTH, (last / first) ** (1 / stats.EARLY_LOOKS))
    early = (round(first * growth**look) for look in range(stats.EARLY_LOOKS))
    return (*(rounds for rounds in early if rounds < last), last)


class PairRule:
    """The rule for one candidate against its original; see the module's text."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self.stopped = ""
        """The reason why no more rounds are needed, in one phrase; empty while they are."""
        self._looks = look_schedule(effort.min_rounds, effort.max_rounds)
        self._original: list[float] = []
        self._candidate: list[float] = []
        self._widths: list[float] = []

    @property
    def summary(self) -> PairSummary | None:
        """Summary of what was fed so far; None if that is too little."""
        if len(self._original) < stats.MIN_ROUNDS:
            return None
        return stats.summarize_pairs(np.array(self._original), np.array(self._candidate))

    def feed(self, original_s: float, candidate_s: float) -> None:
        """Take in one round's pair, in seconds for one execution."""
        self._original.append(original_s)
        self._candidate.append(candidate_s)
        if not self.stopped and len(self._original) in self._looks:
            summary = self.summary
            assert summary is not None  # a look comes after stats.MIN_ROUNDS
            self.stopped = self._look(summary)

    def _look(self, summary: PairSummary) -> str:
        if summary.rounds == self._looks[-1]:
            return "last round"
        width = half_width(summary, self.effort.preparations)
        self._widths.append(width)
        if width <= self.effort.interval:
            return "interval"
        if width <= DECIDED_WIDTH * self.effort.interval and decided(summary):
            return "decided"
        return "not narrowing" if self._stalled() else ""

    def _stalled(self) -> bool:
        """Return whether the last two half-widths together are no smaller than the two before
        them. Over two looks a healthy one falls to 0.7. (Comparing single looks would give up on
        every fifth healthy series: a width from few rounds is rough.)"""
        if len(self._widths) < 4:
            return False
        first, second, third, fourth = self._widths[-4:]
        return third * fourth >= first * second


def decided(summary: PairSummary) -> bool:
    """Return whether this session alone reaches a verdict at the confidence that a look needs."""
    now = stats.combine([summary], stats.LOOK_CONFIDENCE, spent=0)
    return stats.verdict(now.speedup_low, now.speedup_high) is not Verdict.UNDECIDED


def half_width(summary: PairSummary, preparations: int) -> float:
    """Return the relative half-width of the interval of `preparations` sessions like this one."""
    count = max(preparations, 1)
    all_alike = stats.combine([summary] * count, planned=count)
    return all_alike.speedup_high / all_alike.speedup - 1
