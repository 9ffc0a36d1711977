"""What a layer loses under one kind, at every rank of a grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .shapes import Ranks


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCurve:
    """`errors` has one axis for each rank; `axes` are the ranks along them, rising.

    `estimated`: errors of factors before they are refined for their ranks. `shrinkage`: what
    was chosen for factors from data, if it was chosen; `from_data` says where on the grid these are
    better than those from the weights.
    """

    axes: tuple[NDArray[np.int64], ...]
    errors: NDArray[np.float64]
    estimated: bool
    shrinkage: float | None = None
    from_data: NDArray[np.bool_] | None = None

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

    def shrinkage_at(self, ranks: Ranks) -> float | None:
        """Of the factors at these ranks, by the next point of the grid; None: from the weights."""
        if self.from_data is None:
            return None
        places = [np.searchsorted(a, r) for a, r in zip(self.axes, ranks, strict=True)]
        nearest = tuple(min(int(p), len(a) - 1) for p, a in zip(places, self.axes, strict=True))
        return self.shrinkage if self.from_data[nearest] else None

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        named = {f"axis{number}": axis for number, axis in enumerate(self.axes)}
        chosen = np.nan if self.shrinkage is None else self.shrinkage
        flags = {"estimated": np.array([self.estimated]), "shrinkage": np.array([chosen])}
        where = {} if self.from_data is None else {"from_data": self.from_data}
        return {"errors": self.errors, **flags, **where, **named}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        errors = arrays["errors"]
        axes = tuple(arrays[f"axis{number}"] for number in range(errors.ndim))
        chosen = float(arrays["shrinkage"][0])
        estimated = bool(arrays["estimated"][0])
        shrinkage = None if np.isnan(chosen) else chosen
        return cls(axes, errors, estimated, shrinkage, arrays.get("from_data"))
