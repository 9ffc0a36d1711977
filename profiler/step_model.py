"""A model of latency over rank: a ramp, steps, an alignment penalty, a cliff.

A `Shape` says where the steps end, `fit` how high everything is. All coefficients are zero
or more: a higher rank of the same alignment is never expected to be faster. Shapes are
compared by BIC, and predictions are averaged over the shapes that the data leave possible
(Raftery 1995): what is not known yet shows as a spread, which says where to measure next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

QUANTA = (1, 4, 8, 16, 32, 64)
ALIGNMENTS = (1, 2, 4, 8, 16)
NOISE_FLOOR = 0.006
"""Least relative noise that is assumed, even where a shape fits perfectly."""
EXTENDED = 6
"""Number of simple shapes that are tried with a change of step or a cliff added."""
MAX_CHANGES = 10
"""Most ranks at which a change or a cliff is tried at first."""
MIN_TO_EXTEND = 12
"""Fewest measured ranks that can show a change or a cliff."""
MIN_WEIGHT = 0.003
"""Weight relative to the best shape below which a shape is dropped."""
CAUTION = 0.7
"""Share of the evidence that is believed: points are few, the noise is fitted, too, and no
shape is quite true."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Steps of `quantum` ranks, beyond rank `change` (0: never) of `high_quantum`; ranks
    that are no multiple of `alignment` cost extra; beyond rank `cliff` (0: none) all do."""

    quantum: int = 1
    change: int = 0
    high_quantum: int = 1
    alignment: int = 1
    cliff: int = 0

    def step_ends(self, ranks: Ints) -> Ints:
        """Return the last rank of the step that each rank lies on."""
        low = -(-ranks // self.quantum) * self.quantum
        if not self.change:
            return low
        high = -(-ranks // self.high_quantum) * self.high_quantum
        return np.asarray(np.where(ranks > self.change, high, np.minimum(low, self.change)))

    def columns(self, ranks: Ints) -> Floats:
        """Return the terms, shape (ranks, terms): constant, step, slope within steps, penalty (2),
        cliff."""
        step = self.step_ends(ranks).astype(float)
        terms = [np.ones(len(ranks)), step]
        if (self.quantum, self.high_quantum) != (1, 1):
            terms.append(ranks.astype(float))
        if self.alignment > 1:
            unaligned = (ranks % self.alignment != 0).astype(float)
            terms += [unaligned, unaligned * step]
        if self.cliff:
            terms.append((ranks > self.cliff).astype(float))
        return np.ascontiguousarray(np.array(terms).T)

    @property
    def complexity(self) -> float:
        """Count of the numbers that were chosen to fit, for BIC."""
        step = 1.0 if (self.quantum, self.high_quantum) != (1, 1) else 0.0
        aligned = 1.5 if self.alignment > 1 else 0.0
        return 2 + step + aligned + (2 if self.change else 0) + (2 if self.cliff else 0)


@dataclass(frozen=True, slots=True)
class Fit:
    """A shape with its heights. `bic`: the lower, the better the data are explained."""

    shape: Shape
    heights: tuple[float, ...]
    bic: float

    def predict(self, ranks: Ints) -> Floats:
        return np.asarray(self.shape.columns(ranks) @ np.array(self.heights))


def fit(shape: Shape, ranks: Ints, latencies: Floats) -> Fit:
    """Fit heights of zero or more by least squares of relative errors."""
    return fit_columns(shape, shape.columns(ranks), latencies)


def fit_columns(shape: Shape, columns: Floats, latencies: Floats) -> Fit:
    """Fit a shape whose terms, shape (latencies, terms), the caller has."""
    from scipy.optimize import nnls

    scaled = columns / latencies[:, None]
    size = np.linalg.norm(scaled, axis=0)
    size[size == 0] = 1.0
    heights, residual = nnls(scaled / size, np.ones(len(latencies)))
    count = len(latencies)
    bic = count * np.log(residual**2 / count + NOISE_FLOOR**2) + shape.complexity * np.log(count)
    return Fit(shape, tuple((heights / size).tolist()), float(bic))


def possible_fits(ranks: Sequence[int], latencies: Sequence[float]) -> list[tuple[Fit, float]]:
    """Return the shapes that the measured points leave possible, best first, with weights that
    add up to 1. `ranks` rise."""
    at, seconds = np.array(ranks, dtype=np.int64), np.array(latencies, dtype=np.float64)
    fits: dict[Shape, Fit] = {}

    def add(shapes: Iterable[Shape]) -> list[Shape]:
        for shape in shapes:
            if shape not in fits:
                fits[shape] = fit(shape, at, seconds)
        return [one.shape for one in sorted(fits.values(), key=lambda f: f.bic)]

    best = add(_simple(int(at[-1])))
    if len(at) >= MIN_TO_EXTEND:
        best = add(_extended(best[:EXTENDED], at))
        best = add(_extended(best[:2], at))
        best = add(_moved(best[:EXTENDED], at))
        add(_moved(best[:2], at))
    return weighted(list(fits.values()))


def _simple(highest: int) -> Iterable[Shape]:
    for quantum in QUANTA:
        for alignment in ALIGNMENTS:
            if quantum <= highest and (alignment == 1 or alignment <= max(quantum, 4)):
                yield Shape(quantum, 0, quantum, alignment)


def _extended(shapes: Sequence[Shape], ranks: Ints) -> Iterable[Shape]:
    """Yield each shape with a cliff, or with another step beyond some rank in the middle."""
    for shape in shapes:
        for place in _places(ranks):
            if not shape.cliff:
                yield replace(shape, cliff=place)
            if not shape.change:
                for quantum in QUANTA:
                    if quantum != shape.quantum and quantum <= ranks[-1] - place:
                        yield replace(shape, change=place, high_quantum=quantum)


def _moved(shapes: Sequence[Shape], ranks: Ints) -> Iterable[Shape]:
    """Yield each shape with cliff or change elsewhere between the measured ranks around it."""
    for shape in shapes:
        for name in ("cliff", "change"):
            place = getattr(shape, name)
            if place:
                for other in _around(place, ranks):
                    yield replace(shape, **{name: other})


def _around(place: int, ranks: Ints) -> list[int]:
    """Return other ranks for a cliff or change in this gap between measured ranks, or in the next
    ones (data tell the gap, not the place): multiples of 8, and the measured ranks."""
    index = int(np.searchsorted(ranks, place, side="right"))
    low, high = int(ranks[max(index - 2, 0)]), int(ranks[min(index + 1, len(ranks) - 1)])
    return sorted(
        {int(r) for r in ranks if low <= r < high} | set(range(-(-low // 8) * 8, high, 8))
    )


def _places(ranks: Ints) -> list[int]:
    """Return ranks at which the steps may change: spread over the measured ranks, on multiples
    of 16 where there are any."""
    inner = ranks[2:-2]
    grid = sorted({max(int(r) // 16 * 16, 1) for r in inner} | {int(r) for r in inner[::3]})
    if len(grid) <= MAX_CHANGES:
        return grid
    return [grid[round(i * (len(grid) - 1) / (MAX_CHANGES - 1))] for i in range(MAX_CHANGES)]


def weighted(fits: list[Fit]) -> list[tuple[Fit, float]]:
    """Return the fits that are possible, best first, with weights that add up to 1."""
    fits = sorted(fits, key=lambda f: f.bic)
    weights = np.exp([-(one.bic - fits[0].bic) * CAUTION / 2 for one in fits])
    kept = weights >= MIN_WEIGHT
    total = float(weights[kept].sum())
    return [(f, w / total) for f, w, k in zip(fits, weights.tolist(), kept, strict=True) if k]


def average(fits: Sequence[tuple[Fit, float]], ranks: Ints) -> tuple[Floats, Floats]:
    """Return the prediction at each rank, and the relative spread of the possible shapes there."""
    predictions = np.stack([one.predict(ranks) for one, _ in fits])
    weights = np.array([weight for _, weight in fits])[:, None]
    mean = (weights * predictions).sum(axis=0)
    variance = (weights * np.square(predictions - mean)).sum(axis=0)
    return mean, np.sqrt(variance) / mean
