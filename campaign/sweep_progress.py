"""How far a sweep is, in the words of a progress line."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from .. import stats
from ..records import Candidate, LayerSpec, PairSummary, Verdict

LAST = 3
"""Verdicts that the line shows."""


class SweepProgress:
    """Counts sessions, layers and verdicts; `line` is what a reporter takes."""

    def __init__(self) -> None:
        self.timed: set[str] = set()
        """Keys of the candidates that were timed or failed."""
        self.failures = 0
        self._sessions = self._planned = 0
        self._layers: set[str] = set()
        self._known: dict[str, list[PairSummary]] = {}
        self._decided: set[str] = set()
        self._last: deque[str] = deque(maxlen=LAST)
        self._doing = ""

    def plan(self, sessions: int) -> None:
        """Another sweep begins, of so many sessions."""
        self._planned = self._sessions + sessions

    def started(self, spec: LayerSpec) -> None:
        self._doing = title(spec)
        self._layers.add(spec.key)

    def failed(self, key: str) -> None:
        """A candidate has left its session."""
        self.failures += 1
        self.timed.add(key)

    def ended(
        self, candidates: Mapping[str, Candidate], summaries: Mapping[str, PairSummary]
    ) -> None:
        """A session is over: what is now said of its candidates."""
        self._sessions += 1
        self._planned = max(self._planned, self._sessions)
        for key, summary in summaries.items():
            self.timed.add(key)
            sessions = self._known.setdefault(key, [])
            sessions.append(summary)
            now = stats.combine(sessions)
            verdict = stats.verdict(now.speedup_low, now.speedup_high)
            if verdict is Verdict.UNDECIDED:
                self._decided.discard(key)
                continue
            self._decided.add(key)
            self._last.append(f"{candidates[key].decomposition} {verdict} {now.speedup:.2f}x")

    @property
    def sessions(self) -> int:
        """Sessions that are over."""
        return self._sessions

    def counts(self) -> dict[str, float]:
        """What was timed by now, for those who draw it over sessions."""
        return {
            "layers": len(self._layers),
            "candidates_timed": len(self.timed),
            "candidates_decided": len(self._decided),
            "candidates_failed": self.failures,
        }

    def line(self) -> tuple[float, float, str]:
        """(sessions done, sessions planned, the line)."""
        parts = [
            f"{self._doing}: {len(self._layers)} layers",
            f"{len(self._decided)}/{len(self.timed)} candidates decided",
        ]
        if self._last:
            parts.append("; ".join(self._last))
        return self._sessions, self._planned, ", ".join(parts)


def title(spec: LayerSpec) -> str:
    """Return what a person reads of a layer."""
    kernel = "x".join(map(str, spec.kernel_size))
    return f"{spec.op} {kernel} {spec.in_channels}->{spec.out_channels}"
