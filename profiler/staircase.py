"""The search for the steps of latency over rank, and for the good ranks at their ends.

Latency rises with the rank in steps that depend on the device, the runtime and the layer, and
not monotonically: a rank that is no multiple of 4 may cost more than the next higher one. So a good
rank is the last one of a step. The search starts with a coarse grid, then asks for the ranks on
which the shapes that explain the measurements disagree most (see `step_model`), and ends when they
agree, or when `MAX_RANKS` were measured. Numbers in, numbers out: nothing here times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .step_model import Fit, Floats, average, possible_fits

MAX_RANKS = 24
"""Most ranks measured for one layer and kind."""
COARSE = 12
"""Ranks of the first, geometric grid."""
BATCH = 4
"""Most ranks asked for at once afterwards."""
MIN_TOLD = 5
"""Fewest measured ranks that are fitted."""
ENOUGH = 16
"""Measured ranks from which agreement counts: fewer points are explained by many shapes."""
AGREED = 0.003
"""Shapes agree where they differ by less than this share of the latency."""
TOLERANCE = 0.001
"""A rank that costs this share more than the best one at or above it is as good."""


@dataclass(frozen=True, slots=True)
class Staircase:
    """The best shape and the good ranks. `kept`: for every rank from `lowest` to `highest` one at
    or above it is as fast as any. They were not all measured."""

    lowest: int
    highest: int
    quantum: int
    high_quantum: int
    change: int
    alignment: int
    cliff: int
    kept: tuple[int, ...]
    measured: tuple[int, ...]

    @property
    def has_steps(self) -> bool:
        """Whether there is a staircase at all."""
        return self.quantum > 1 or self.high_quantum > 1 or self.alignment > 1

    def at_least(self, rank: int) -> int:
        """Return the good rank for whoever needs `rank` or more."""
        return next((kept for kept in self.kept if kept >= rank), self.kept[-1])

    def __str__(self) -> str:
        parts = [f"steps of {self.quantum}" if self.quantum > 1 else "no steps"]
        if self.change:
            parts.append(f"of {self.high_quantum} above rank {self.change}")
        if self.alignment > 1:
            parts.append(f"ranks that are no multiple of {self.alignment} cost extra")
        if self.cliff:
            parts.append(f"a cliff above rank {self.cliff}")
        if not self.has_steps:
            parts[0] = "no staircase: a geometric grid"
        return ", ".join(parts)


class StaircaseSearch:
    """Names the ranks from `lowest` to `highest` to measure next; is told latencies (any unit)."""

    def __init__(self, lowest: int, highest: int, budget: int = MAX_RANKS) -> None:
        if not 1 <= lowest <= highest:
            raise ValueError(f"no ranks lie from {lowest} to {highest}")
        self.lowest, self.highest, self.budget = lowest, highest, budget
        self._grid = np.arange(lowest, highest + 1)
        self._told: dict[int, float] = {}
        self._failed: set[int] = set()

    def tell(self, latencies: Mapping[int, float], failed: Iterable[int] = ()) -> None:
        """Take in what was measured; `failed` ranks count as measured and are not asked again.
        Ranks outside the range are ignored."""
        inside = {r: s for r, s in latencies.items() if self.lowest <= r <= self.highest}
        self._told.update(inside)
        self._failed.update(set(failed) - self._told.keys())

    def ask(self) -> tuple[int, ...]:
        """Return the next ranks to measure, rising; none when enough is known or was measured."""
        left = self.budget - len(self._told) - len(self._failed)
        if left <= 0:
            return ()
        coarse = [r for r in self._coarse() if not self._asked(r)]
        if coarse:
            return tuple(coarse[:left])
        if len(self._told) < MIN_TOLD:
            return ()
        return tuple(sorted(self._disputed(min(left, BATCH))))

    def _asked(self, rank: int) -> bool:
        return rank in self._told or rank in self._failed

    def _coarse(self) -> list[int]:
        """Return a geometric grid with both ends, on multiples of 8 where ranks lie far enough
        apart, one in three a little above: where a step begins beside where it ends."""
        ideal = np.geomspace(self.lowest, self.highest, min(COARSE, self.budget))
        ranks = {self.lowest, self.highest}
        for number, rank in enumerate(ideal[1:-1]):
            aligned = round(rank / 8) * 8
            ranks.add(int(aligned + 4 * (number % 3 == 1)) if rank >= 24 else round(rank))
        return sorted(r for r in ranks if self.lowest <= r <= self.highest)

    def _disputed(self, most: int) -> list[int]:
        """Return the ranks on which the possible shapes differ most, those of one batch apart."""
        _, spread = average(self._fits(), self._grid)
        open_ = spread * np.array([not self._asked(int(rank)) for rank in self._grid])
        if len(self._told) < ENOUGH:
            open_ = open_ + AGREED * self._distance()
        chosen: list[int] = []
        while len(chosen) < most and open_.max() > AGREED:
            rank = int(self._grid[int(open_.argmax())])
            chosen.append(rank)
            open_ = np.where(np.abs(self._grid - rank) <= max(rank // 12, 2), 0.0, open_)
        return chosen

    def _distance(self) -> Floats:
        """Return the distance of each rank from those that were asked, in percent of itself."""
        asked = np.array([*self._told, *self._failed])
        apart = np.abs(self._grid[:, None] - asked).min(axis=1)
        return np.asarray(100 * apart / self._grid)

    def _fits(self) -> list[tuple[Fit, float]]:
        ranks = sorted(self._told)
        return possible_fits(ranks, [self._told[rank] for rank in ranks])

    def result(self, tolerance: float = TOLERANCE) -> Staircase:
        """Return what is known now; `tolerance` as in `good_ends`. Raises `ValueError` if fewer
        than `MIN_TOLD` ranks were told."""
        if len(self._told) < MIN_TOLD:
            raise ValueError(f"{len(self._told)} ranks are too few to see a staircase")
        fits = self._fits()
        best = fits[0][0].shape
        possible = np.stack([one.predict(self._grid) for one, _ in fits])
        weights = np.array([weight for _, weight in fits])
        return Staircase(
            self.lowest,
            self.highest,
            quantum=best.quantum,
            high_quantum=best.high_quantum,
            change=best.change,
            alignment=best.alignment,
            cliff=best.cliff,
            kept=tuple(self.lowest + index for index in good_ends(possible, weights, tolerance)),
            measured=tuple(sorted(self._told)),
        )


def good_ends(possible: Floats, weights: Floats, tolerance: float = TOLERANCE) -> list[int]:
    """Return rising indices such that at or above every index one of them is as fast as any there.

    `possible` has shape (shapes, ranks): what each possible shape predicts, `weights`
    (shapes,) how likely it is. An index may stand for a lower one if that costs at most
    `tolerance` over the fastest at or above it (root mean square over the shapes: a mistake
    that is unlikely but large counts), or as little as anything does; each reaches as far up
    as it can.
    """
    least = np.minimum.accumulate(possible[:, ::-1], axis=1)[:, ::-1]
    ends, index = [], 0
    while index < possible.shape[1]:
        regret = possible[:, index:] / least[:, index, None] - 1
        cost = np.sqrt(weights @ np.square(regret))
        index += int(np.flatnonzero(cost <= max(tolerance, cost.min()))[-1])
        ends.append(index)
        index += 1
    return ends
