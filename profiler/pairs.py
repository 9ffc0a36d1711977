"""The staircases of a kind with two ranks, one for each rank (axis).

One axis' ranks are measured while the other rank is held, in turns at a low and a high setting.
The width of the steps and the alignment belong to the axis; how high the steps are depends on the
setting. Candidates are the pairs of good ranks of both axes, at the aspect of the full ranks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .staircase import MIN_TOLD
from .step_model import QUANTA, Fit, Floats, Ints, Shape, fit_columns, weighted

Pair = tuple[int, int]
PER_AXIS = 8
"""Pairs measured for each axis to find its steps; the rest of the 24 are candidates."""
SETTINGS = (0.35, 0.75)
"""Values at which the other rank is held, as shares of its highest."""
AGREED = 0.01
"""Relative spread of the fits below which they agree on a rank's latency."""


@dataclass(frozen=True, slots=True)
class AxisStaircase:
    """The good ranks of one axis: multiples of `quantum`, or else of `alignment`."""

    quantum: int
    alignment: int

    @property
    def grid(self) -> int:
        return max(self.quantum, self.alignment)

    def __str__(self) -> str:
        steps = f"steps of {self.quantum}" if self.quantum > 1 else "no steps"
        if self.alignment > 1:
            return f"{steps}, ranks that are no multiple of {self.alignment} cost extra"
        return steps if self.quantum > 1 else "no staircase: a geometric grid"


class PairSearch:
    """Names the pairs of ranks, up to `highest`, to measure next; is told latencies (any unit)."""

    def __init__(self, highest: Pair, per_axis: int = PER_AXIS) -> None:
        self.highest, self.per_axis = highest, per_axis
        self._axes = [_Axis(axis, highest, per_axis) for axis in (0, 1)]

    def tell(self, latencies: Mapping[Pair, float], failed: Iterable[Pair] = ()) -> None:
        """Take in what was measured; an axis ignores pairs that are not at its settings."""
        for axis in self._axes:
            axis.tell(latencies, set(failed))

    def ask(self) -> tuple[Pair, ...]:
        """Return the next pairs to measure; none when enough is known or was measured."""
        return tuple(dict.fromkeys(pair for axis in self._axes for pair in axis.ask()))

    def result(self) -> tuple[AxisStaircase, AxisStaircase]:
        """Return what is known now of each axis. Without data: no staircase."""
        first, second = (axis.result() for axis in self._axes)
        return first, second


class _Axis:
    """The search along one axis. A measured place is (rank, number of the setting)."""

    def __init__(self, axis: int, highest: Pair, budget: int) -> None:
        self.axis, self.budget = axis, budget
        self.highest, other = highest[axis], highest[1 - axis]
        self.lowest = max(self.highest // 4, 1)
        self.settings = tuple(_aligned(round(share * other), other) for share in SETTINGS)
        self._grid = np.arange(self.lowest, self.highest + 1)
        self._told: dict[tuple[int, int], float] = {}
        self._failed: set[tuple[int, int]] = set()

    def _pair(self, rank: int, setting: int) -> Pair:
        other = self.settings[setting]
        return (rank, other) if self.axis == 0 else (other, rank)

    def tell(self, latencies: Mapping[Pair, float], failed: set[Pair]) -> None:
        told = {self._place(pair): latency for pair, latency in latencies.items()}
        self._told.update({place: latency for place, latency in told.items() if place})
        self._failed |= {place for pair in failed if (place := self._place(pair))}
        self._failed -= self._told.keys()

    def _place(self, pair: Pair) -> tuple[int, int] | None:
        rank, other = pair[self.axis], pair[1 - self.axis]
        inside = self.lowest <= rank <= self.highest and other in self.settings
        return (rank, self.settings.index(other)) if inside else None

    def ask(self) -> list[Pair]:
        asked = self._told.keys() | self._failed
        left = self.budget - len(asked)
        if left <= 0 or self.highest - self.lowest < 8:
            return []
        coarse = [place for place in self._coarse() if place not in asked]
        if coarse:
            return [self._pair(*place) for place in coarse[:left]]
        if len(self._told) < MIN_TOLD:
            return []
        return [self._pair(rank, (left + n) % 2) for n, rank in enumerate(self._disputed(left))]

    def _coarse(self) -> list[tuple[int, int]]:
        """Return both ends at both settings, and the middle: a step's end, and just above it."""
        low, high = _aligned(self.lowest + 8, self.highest), _aligned(self.highest, self.highest)
        middle = _aligned((low + high) // 2, self.highest)
        places = [(low, 0), (high, 0), (low, 1), (high, 1), (middle, 0), (middle + 4, 1)]
        return [place for place in dict.fromkeys(places) if place[0] <= self.highest]

    def _disputed(self, left: int) -> list[int]:
        """Return the rank whose latency the possible shapes disagree on most, if they do."""
        fits = self._fits()
        weights = np.array([weight for _, weight in fits])[:, None]
        shapes = np.stack([_relative(one, self._grid) for one, _ in fits])
        spread = np.sqrt((weights * np.square(shapes - (weights * shapes).sum(axis=0))).sum(axis=0))
        for rank, _ in (*self._told, *self._failed):
            spread[rank - self.lowest] = 0
        rank = int(self._grid[int(spread.argmax())])
        return [rank] if left and spread.max() > AGREED else []

    def _fits(self) -> list[tuple[Fit, float]]:
        places = sorted(self._told)
        ranks = np.array([rank for rank, _ in places], dtype=np.int64)
        groups = np.array([setting for _, setting in places])
        latencies = np.array([self._told[place] for place in places])
        shapes = [Shape(q, 0, q, a) for q in QUANTA for a in (1, 4, 8) if a <= max(q, 4)]
        return weighted(
            [
                fit_columns(s, _columns(s, ranks, groups, latencies), latencies)
                for s in shapes
                if s.quantum <= self.highest - self.lowest
            ]
        )

    def result(self) -> AxisStaircase:
        if len(self._told) < MIN_TOLD:
            return AxisStaircase(1, 1)
        best = self._fits()[0][0].shape
        return AxisStaircase(best.quantum, best.alignment)


def _columns(shape: Shape, ranks: Ints, groups: Ints, latencies: Floats) -> Floats:
    """Return the terms of a fit: constant and step for each setting, and one penalty as a share
    of the setting's latency."""
    step = shape.step_ends(ranks).astype(float)
    terms = [
        np.where(groups == g, term, 0.0) for g in (0, 1) for term in (np.ones(len(ranks)), step)
    ]
    if shape.alignment > 1:
        typical = np.array([latencies[groups == g].mean() for g in groups])
        terms.append(np.where(ranks % shape.alignment != 0, typical, 0.0))
    return np.stack(terms, axis=1)


def _relative(one: Fit, grid: Ints) -> Floats:
    """Return the first setting's predicted latency over rank, relative to its mean."""
    constant, step = one.heights[:2]
    latency = constant + step * one.shape.step_ends(grid)
    if one.shape.alignment > 1:
        unaligned = grid % one.shape.alignment != 0
        latency = latency * (1 + one.heights[-1] * unaligned)
    return np.asarray(latency / max(float(latency.mean()), 1e-300))


def _aligned(rank: int, highest: int) -> int:
    """Return the nearest multiple of 16 (of 4 where ranks are few) that is possible."""
    step = 16 if highest >= 64 else 4
    return min(max(round(rank / step), 1), max(highest // step, 1)) * step if highest >= 4 else 1
