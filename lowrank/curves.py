"""What a layer loses under one kind, at every rank of a grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .shapes import Ranks
from .shrinkage import WEIGHTS_ALONE, Shrinkage

MAX_RANKS = 32
"""Ranks along an axis of an error curve where every one of them costs a factorisation."""
FEW_RANKS = {1: 16, 2: 6}
"""Ranks along each axis, by the number of axes, where every point costs more than that."""


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCurve:
    """`errors` has one axis for each rank; `axes` are the ranks along them, rising.

    `estimated`: errors of factors before they are refined for their ranks. `ways`: where it was
    chosen what the factors are made from, those that were compared; `best` says for each point of
    the grid which of them it is, by its position.
    """

    axes: tuple[NDArray[np.int64], ...]
    errors: NDArray[np.float64]
    estimated: bool
    ways: tuple[Shrinkage, ...] = ()
    best: NDArray[np.int64] | None = None

    @property
    def shrinkage(self) -> Shrinkage | None:
        """What was chosen for factors from all the data; None where nothing was chosen."""
        return self.ways[-1] if self.ways else None

    def at(self, ranks: Ranks) -> float:
        """The error at these ranks; between the grid's points, linearly between them."""
        errors = self.errors
        for axis, rank in zip(self.axes, ranks, strict=True):
            above = min(int(np.searchsorted(axis, rank)), len(axis) - 1)
            below = above if axis[above] <= rank else max(above - 1, 0)
            gap = float(axis[above] - axis[below])
            share = (rank - float(axis[below])) / gap if gap else 0.0
            errors = (1 - share) * errors[below] + share * errors[above]
        return float(errors)

    def shrinkage_at(self, ranks: Ranks) -> Shrinkage:
        """Of the factors at these ranks, by the next point of the grid."""
        if self.best is None:
            return WEIGHTS_ALONE
        places = [np.searchsorted(a, r) for a, r in zip(self.axes, ranks, strict=True)]
        nearest = tuple(min(int(p), len(a) - 1) for p, a in zip(places, self.axes, strict=True))
        return self.ways[int(self.best[nearest])]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As named arrays, ready for safetensors; a side that has no part is NaN."""
        named = {f"axis{number}": axis for number, axis in enumerate(self.axes)}
        arrays = {"errors": self.errors, "estimated": np.array([self.estimated]), **named}
        if self.best is None:
            return arrays
        ways = np.array([[way.inputs, way.outputs] for way in self.ways], dtype=np.float64)
        return {**arrays, "ways": ways, "best": self.best}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        errors, estimated = arrays["errors"], bool(arrays["estimated"][0])
        axes = tuple(arrays[f"axis{number}"] for number in range(errors.ndim))
        if "best" not in arrays:
            return cls(axes, errors, estimated)
        rows = [[None if np.isnan(side) else float(side) for side in row] for row in arrays["ways"]]
        return cls(axes, errors, estimated, tuple(Shrinkage(*row) for row in rows), arrays["best"])


def least(curves: Sequence[ErrorCurve], ways: Sequence[Shrinkage]) -> ErrorCurve:
    """The lowest of several curves over the same ranks; of equal ones the first."""
    errors = np.stack([curve.errors for curve in curves])
    estimated = any(curve.estimated for curve in curves)
    return ErrorCurve(
        curves[0].axes, errors.min(axis=0), estimated, tuple(ways), errors.argmin(axis=0)
    )


def curve_of(
    estimate: Callable[[Ranks], float], full: Ranks, step: int, costly: bool = False
) -> ErrorCurve:
    """`estimate` at possible ranks, which are multiples of `step`."""
    points = FEW_RANKS[len(full)] if costly else MAX_RANKS
    axes = tuple(step * _spread(limit // step, points) for limit in full)
    errors = [estimate(tuple(map(int, ranks))) for ranks in product(*axes)]
    shape = [len(axis) for axis in axes]
    return ErrorCurve(axes, np.array(errors).reshape(shape), estimated=True)


def _spread(most: int, points: int) -> NDArray[np.int64]:
    """At most so many numbers from 1 to `most`, evenly spread."""
    return np.unique(np.linspace(1, most, min(most, points)).round().astype(np.int64))
