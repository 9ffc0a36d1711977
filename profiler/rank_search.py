"""The search for good ranks of one layer and kind from few measurements: `--rank-quantum auto`.

Latency over rank is a staircase, and a good rank is the last one of a step. At most
`staircase.MAX_RANKS` ranks (or pairs) of a kind are measured in all: `EXPLORED` to find the steps,
the rest at good ranks that the search has not happened to measure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..lowrank import full_ranks, lower
from ..records import Decomposition, LayerSpec
from .candidates import HIGHEST, LOWEST, default_candidates, saving_steps
from .pairs import PairSearch
from .staircase import MAX_RANKS, MIN_TOLD, Staircase, StaircaseSearch

Ranks = tuple[int, ...]
EXPLORED = 16
"""Ranks measured to find the steps."""
MAX_CANDIDATES = 12
NEAR = 0.04
"""A measured good rank within this share of another stands for it."""
TOLERANCE = 0.01
"""A candidate may cost this share more than the best rank at or above the one it stands for."""
MIN_RANKS = 8
"""Where fewer ranks than this are possible there is nothing to search for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one rank (axis) of a kind. Good ranks are multiples of `quantum`
    (1: any rank is as good as its neighbours); `text` describes the staircase."""

    kind: str
    axis: int
    quantum: int
    alignment: int
    text: str


class KindSearch:
    """Names what to measure next of one layer and kind, and at last its candidates."""

    def __init__(self, spec: LayerSpec, kind: str) -> None:
        self.spec, self.kind = spec, kind
        branched = any(d.groups > 1 for d in default_candidates(spec, [kind], 1))
        self.limits = None if branched else saving_limits(spec, kind)
        self.told: dict[Ranks, float] = {}
        self._failed: set[Ranks] = set()
        self._single: StaircaseSearch | None = None
        self._pair: PairSearch | None = None
        if self.limits and min(self.limits[1]) >= MIN_RANKS:
            low, high = self.limits
            if len(high) == 1 and high[0] - low[0] >= MIN_RANKS:
                self._single = StaircaseSearch(low[0], high[0], EXPLORED)
            elif len(high) == 2:
                self._pair = PairSearch((high[0], high[1]))

    @property
    def measured(self) -> int:
        """Number of ranks or pairs whose latency is known."""
        return len(self.told)

    def tell(self, latencies: Mapping[Ranks, float], failed: Collection[Ranks] = ()) -> None:
        """Take in latencies by ranks, all in one unit, and ranks that could not be measured."""
        self.told.update(latencies)
        self._failed.update(failed)
        if self._single:
            told = {ranks[0]: s for ranks, s in latencies.items()}
            self._single.tell(told, [ranks[0] for ranks in failed])
        if self._pair:
            pairs = {(r[0], r[1]): s for r, s in latencies.items()}
            self._pair.tell(pairs, [(r[0], r[1]) for r in failed])

    def ask(self) -> tuple[Decomposition, ...]:
        """Return what to measure next; nothing once the staircase is known well enough."""
        asked: Sequence[Ranks] = ()
        if self._single:
            asked = [(rank,) for rank in self._single.ask()]
        elif self._pair:
            asked = self._pair.ask()
        return tuple(Decomposition(self.kind, ranks) for ranks in asked)

    def findings(self) -> list[Finding]:
        """Return one finding for each axis; none where there was nothing to search for."""
        if self._single and len(self.told) >= MIN_TOLD:
            staircase = self._single.result()
            quantum = max(staircase.quantum, staircase.alignment)
            return [Finding(self.kind, 0, quantum, staircase.alignment, str(staircase))]
        if self._pair and self.told:
            axes = enumerate(self._pair.result())
            return [Finding(self.kind, n, a.grid, a.alignment, str(a)) for n, a in axes]
        return []

    def candidates(self, quantum: int) -> tuple[Decomposition, ...]:
        """Return the good ranks, rising. `quantum` serves kinds that have too few ranks to
        search."""
        findings = self.findings()
        if not findings:
            return tuple(default_candidates(self.spec, [self.kind], quantum))
        left = MAX_RANKS - len(self.told) - len(self._failed)
        ranks = self._ends(left) if self._single else self._aspects([f.quantum for f in findings])
        return tuple(Decomposition(self.kind, r) for r in ranks if r not in self._failed)

    def _ends(self, left: int) -> list[Ranks]:
        assert self._single is not None
        staircase = self._single.result(TOLERANCE)
        measured = good_measured(staircase)
        new = [r for r in spread_ends(staircase, MAX_CANDIDATES) if not _near(r, measured)]
        room = max(min(left, MAX_CANDIDATES - len(measured)), 0)
        return [(rank,) for rank in sorted({*measured, *new[:room]})]

    def _aspects(self, quanta: Sequence[int]) -> list[Ranks]:
        """Return pairs of good ranks at the aspect of the full ranks."""
        assert self.limits is not None
        low, high = self.limits
        pairs: list[Ranks] = []
        for share in np.geomspace(min(low[0] / high[0], 1), 1, 8):
            ideal = [share * limit for limit in high]
            full_at = zip(ideal, quanta, full_ranks(self.spec, self.kind), strict=True)
            ranks = tuple(
                int(min(max(round(want / q), 1) * q, full // q * q)) if full >= q else full
                for want, q, full in full_at
            )
            if lower(self.spec, Decomposition(self.kind, ranks)).macs < self.spec.macs:
                pairs.append(ranks)
        return list(dict.fromkeys(pairs))


def searches(spec: LayerSpec, kinds: Sequence[str] | None) -> list[KindSearch]:
    """Return a search for each kind that has candidates at all."""
    candidates = default_candidates(spec, kinds, 1)
    return [KindSearch(spec, kind) for kind in dict.fromkeys(d.kind for d in candidates)]


def saving_limits(spec: LayerSpec, kind: str) -> tuple[Ranks, Ranks] | None:
    """Return the lowest and highest ranks worth measuring: between `LOWEST` and `HIGHEST` of the
    ranks at which multiply-accumulates break even, at the aspect of the full ranks. None if no
    ranks save any."""
    full = full_ranks(spec, kind)
    smallest = min(full)

    def at(step: int) -> Ranks:
        return tuple(max(round(step * limit / smallest), 1) for limit in full)

    below = saving_steps(spec, kind, 1, at, smallest)
    if below < 1:
        return None
    return at(max(round(LOWEST * below), 1)), at(max(int(HIGHEST * below), 1))


def good_measured(staircase: Staircase) -> list[int]:
    """Return the measured ranks that are good, or so little below a good one that it is no
    matter."""
    return [r for r in staircase.measured if staircase.at_least(r) - r <= max(1, NEAR * r / 2)]


def spread_ends(staircase: Staircase, most: int) -> list[int]:
    """Return at most `most` of the good ranks, at about equal ratios, rising."""
    kept = np.array(staircase.kept, dtype=float)
    wanted = np.geomspace(kept[0], kept[-1], most)
    nearest = [int(kept[int(np.abs(np.log(kept / want)).argmin())]) for want in wanted]
    return list(dict.fromkeys(nearest))


def _near(rank: int, measured: Sequence[int]) -> bool:
    return any(abs(rank - other) <= NEAR * rank for other in measured)
