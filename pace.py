"""How far work is, how fast it goes, and how long it still takes, for whoever shows that."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

KNOWN_AFTER_S = 1.0
"""Before this much of a stretch of work has passed, nobody can say how long the rest takes."""
PERCENT = (1.0, 100.0)
"""Totals that are shares, not counts."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far work is: the share that is done, 0 to 1; the same as a count (`5/9`, `56%`; empty for
    a share of which nothing is known yet); the seconds that are left, None while nobody knows."""

    share: float
    count: str
    left_s: float | None

    def left_beside(self, text: str) -> str:
        """The time left in words, to be said beside the work's own text; empty if that says
        it, and when nothing is left."""
        if not self.left_s or re.search(r"\bleft\b", text):
            return ""
        minutes = self.left_s >= 90
        return f"{self.left_s / 60:.0f} min left" if minutes else f"{self.left_s:.0f} s left"


class Pace:
    """How fast work goes since this stretch of it began. Another total, or less than was done
    before, is another stretch: what was quick says nothing of what is slow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._born_s = self._began_s = clock()
        self._total, self._done, self._first = 0.0, 0.0, 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since all of it began."""
        return self._clock() - self._born_s

    def at(self, done: float, total: float) -> Standing:
        """Where work stands that has `done` of `total` steps."""
        if total != self._total or done < self._done:
            self._first, self._began_s = done, self._clock()
        self._total, self._done = total, done
        share = min(done / total, 1.0) if total else 0.0
        return Standing(share, _count(done, total), self._left_s())

    def _left_s(self) -> float | None:
        """By what this stretch did itself: what was done before it, say in an earlier run, took
        it no time."""
        elapsed_s, steps = self._clock() - self._began_s, self._done - self._first
        if elapsed_s < KNOWN_AFTER_S or steps <= 0:
            return None
        return elapsed_s * max(self._total - self._done, 0.0) / steps


def _count(done: float, total: float) -> str:
    if total in PERCENT:
        return f"{done / total:.0%}" if done else ""
    return f"{done:.0f}/{total:.0f}"
