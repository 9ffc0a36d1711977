"""Finding the good ranks of one layer and kind by measuring few: `--rank-quantum auto`.

At most `staircase.MAX_RANKS` ranks (or pairs) of a kind are measured in all: `EXPLORED` to
find the staircase, the rest on good ends that the search has not happened to measure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..lowrank import full_ranks, lower
from ..records import Decomposition, LayerSpec
from .candidates import HIGHEST, LOWEST, default_candidates
from .pairs import PairSearch
from .staircase import MAX_RANKS, Staircase, StaircaseSearch

Ranks = tuple[int, ...]
EXPLORED = 16
CANDIDATES = 12
"""Good ends that are candidates, at most."""
NEAR = 0.04
"""A measured good end within this share of an ideal rank stands for it."""
TOLERANCE = 0.01
"""A candidate may cost this share more than the best rank at or above the one it stands for."""
FEWEST = 8
"""Where fewer ranks than this are possible there is nothing to search for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one axis of a kind. `quantum` is the multiple that good ranks keep to
    (1: any rank is as good as its neighbours), `text` says the rest."""

    kind: str
    axis: int
    quantum: int
    alignment: int
    text: str


class KindSearch:
    """One layer and kind: ask for decompositions, tell their latencies, take candidates."""

    def __init__(self, spec: LayerSpec, kind: str) -> None:
        self.spec, self.kind = spec, kind
        branched = any(d.groups > 1 for d in default_candidates(spec, [kind], 1))
        self.limits = None if branched else saving_limits(spec, kind)
        self._told: dict[Ranks, float] = {}
        self._failed: set[Ranks] = set()
        self._single: StaircaseSearch | None = None
        self._pair: PairSearch | None = None
        if self.limits and min(self.limits[1]) >= FEWEST:
            low, high = self.limits
            if len(high) == 1 and high[0] - low[0] >= FEWEST:
                self._single = StaircaseSearch(low[0], high[0], EXPLORED)
            elif len(high) == 2:
                self._pair = PairSearch((high[0], high[1]))

    @property
    def measured(self) -> int:
        """How many ranks or pairs were told."""
        return len(self._told)

    def tell(self, latencies: Mapping[Ranks, float], failed: Collection[Ranks] = ()) -> None:
        """Latencies by ranks, in any unit, as long as it is the same."""
        self._told.update(latencies)
        self._failed.update(failed)
        if self._single:
            told = {ranks[0]: s for ranks, s in latencies.items()}
            self._single.tell(told, [ranks[0] for ranks in failed])
        if self._pair:
            pairs = {(r[0], r[1]): s for r, s in latencies.items()}
            self._pair.tell(pairs, [(r[0], r[1]) for r in failed])

    def ask(self) -> tuple[Decomposition, ...]:
        """What to measure next to find the staircase; nothing once it is found."""
        asked: Sequence[Ranks] = ()
        if self._single:
            asked = [(rank,) for rank in self._single.ask()]
        elif self._pair:
            asked = self._pair.ask()
        return tuple(Decomposition(self.kind, ranks) for ranks in asked)

    def findings(self) -> list[Finding]:
        """One for each axis; none where nothing was searched for."""
        if self._single and len(self._told) >= 5:
            found = self._single.result()
            quantum = max(found.quantum, found.alignment)
            return [Finding(self.kind, 0, quantum, found.alignment, str(found))]
        if self._pair and self._told:
            axes = enumerate(self._pair.result())
            return [Finding(self.kind, n, a.grid, a.alignment, str(a)) for n, a in axes]
        return []

    def candidates(self, quantum: int) -> tuple[Decomposition, ...]:
        """The good ends, by rising rank. `quantum` is for kinds of which too few ranks are
        possible to search."""
        findings = self.findings()
        if not findings:
            return tuple(default_candidates(self.spec, [self.kind], quantum))
        left = MAX_RANKS - len(self._told) - len(self._failed)
        ranks = self._ends(left) if self._single else self._aspects([f.quantum for f in findings])
        return tuple(Decomposition(self.kind, r) for r in ranks if r not in self._failed)

    def _ends(self, left: int) -> list[Ranks]:
        assert self._single is not None
        found = self._single.result(TOLERANCE)
        measured = good_measured(found)
        new = [r for r in spread_ends(found, CANDIDATES) if not _near(r, measured)]
        room = max(min(left, CANDIDATES - len(measured)), 0)
        return [(rank,) for rank in sorted({*measured, *new[:room]})]

    def _aspects(self, quanta: Sequence[int]) -> list[Ranks]:
        """Pairs of good ends along the aspect of the full ranks."""
        assert self.limits is not None
        low, high = self.limits
        found: dict[Ranks, None] = {}
        for share in np.geomspace(min(low[0] / high[0], 1), 1, 8):
            ideal = [share * limit for limit in high]
            full_at = zip(ideal, quanta, full_ranks(self.spec, self.kind), strict=True)
            ranks = tuple(
                int(min(max(round(want / q), 1) * q, full // q * q)) if full >= q else full
                for want, q, full in full_at
            )
            if lower(self.spec, Decomposition(self.kind, ranks)).macs < self.spec.macs:
                found.setdefault(ranks)
        return list(found)


def searches(spec: LayerSpec, kinds: Sequence[str] | None) -> list[KindSearch]:
    """One for each kind of which there are candidates at all."""
    found = default_candidates(spec, kinds, 1)
    return [KindSearch(spec, kind) for kind in dict.fromkeys(d.kind for d in found)]


def saving_limits(spec: LayerSpec, kind: str) -> tuple[Ranks, Ranks] | None:
    """Lowest and highest ranks worth measuring: between `LOWEST` and `HIGHEST` of the ranks
    at which multiply-accumulates break even, at the aspect of the full ranks. None if no
    ranks save any."""
    full = full_ranks(spec, kind)
    smallest = min(full)

    def at(step: int) -> Ranks:
        return tuple(max(round(step * limit / smallest), 1) for limit in full)

    def too_much(step: int) -> bool:
        return lower(spec, Decomposition(kind, at(step))).macs >= spec.macs

    below = bisect_left(range(1, smallest + 1), True, key=too_much)
    if below < 1:
        return None
    return at(max(round(LOWEST * below), 1)), at(max(int(HIGHEST * below), 1))


def good_measured(found: Staircase) -> list[int]:
    """The measured ranks that are good ends, or so near below one that it is no matter."""
    return [r for r in found.measured if found.at_least(r) - r <= max(1, NEAR * r / 2)]


def spread_ends(found: Staircase, most: int) -> list[int]:
    """At most `most` of the kept ends, in about equal ratios, the largest gaps first."""
    kept = np.array(found.kept, dtype=float)
    wanted = np.geomspace(kept[0], kept[-1], most)
    nearest = [int(kept[int(np.abs(np.log(kept / want)).argmin())]) for want in wanted]
    return list(dict.fromkeys(nearest))


def _near(rank: int, measured: Sequence[int]) -> bool:
    return any(abs(rank - other) <= NEAR * rank for other in measured)
