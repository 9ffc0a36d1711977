"""The multiple-choice knapsack as arrays: one item out of each group, limits on the weights.

Values and weights may be negative; all sums are of one item for each group.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

GAP = 1e-4
"""A solution this close to its proven bound, relatively, is not improved any further."""
SLACK = 1e-9
"""Relative excess of a limit that is put down to rounding."""


@dataclass(frozen=True)
class Knapsack:
    """Items of all groups, flat and grouped: item i belongs to group `owner[i]`.

    `limits`, shape (rows,), are the upper limits of the sums of the rows of `weights`, shape
    (rows, items); infinity is no limit.
    """

    values: Floats
    weights: Floats
    limits: Floats
    owner: Ints
    starts: Ints = field(init=False)

    def __post_init__(self) -> None:
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        object.__setattr__(self, "starts", starts)

    def value(self, picks: Ints) -> float:
        return float(self.values[picks].sum())

    @property
    def ceilings(self) -> Floats:
        """The limits with what is put down to rounding."""
        finite = np.where(np.isfinite(self.limits), self.limits, 0.0)
        return self.limits + SLACK * np.abs(finite)

    def fits(self, picks: Ints) -> bool:
        return bool(np.all(self.weights[:, picks].sum(axis=1) <= self.ceilings))

    def reduced(self, multipliers: Floats) -> Floats:
        """Each item's value less what its weights cost at these prices (the multipliers)."""
        return self.values - multipliers @ self.weights

    def lagrangian_bound(self, multipliers: Floats) -> float:
        """No picks within the limits are worth more, whatever the multipliers (>= 0) are."""
        top = np.maximum.reduceat(self.reduced(multipliers), self.starts)
        limited = multipliers > 0
        return float(top.sum() + multipliers[limited] @ self.limits[limited])

    def largest(self, shares: Floats) -> Ints:
        """Each group's item with the largest share."""
        order = np.lexsort((shares, self.owner))
        largest: Ints = order[np.append(self.starts[1:], len(shares)) - 1]
        return largest


@dataclass(frozen=True)
class Solution:
    """Picks, and what no other ones are worth more than."""

    picks: Ints
    bound: float

    def gap(self, value: float) -> float:
        """Relative distance of a value to the bound, never negative."""
        distance = max(0.0, self.bound - value)
        return distance / max(abs(self.bound), abs(value)) if distance else 0.0
