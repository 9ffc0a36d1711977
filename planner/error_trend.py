"""What the errors of measured plans say about another plan of the same network."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from .known_errors import NetworkError

REACH = 16.0
"""How far below the least squared error of measured plans another may lie: a quarter of the
error. Above the largest nothing is said: there the model of errors breaks down."""

NEIGHBOURS = 2
"""The bound swings from plan to plan, the more so the fewer pictures it is from: by a factor of
two where the select split has two. Two neighbours see most of that."""


@dataclass(frozen=True, slots=True)
class ErrorTrend:
    """Shares that squared values and bounds were of modelled squared errors, which rise."""

    modelled: tuple[float, ...]
    ratios: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, measured: Iterable[tuple[float, NetworkError]]) -> Self:
        triples = sorted((sq, error.value**2 / sq, error.upper**2 / sq) for sq, error in measured)
        return cls(tuple(sq for sq, *_ in triples), tuple((v, u) for _, v, u in triples))

    def at(self, modelled_sq: float) -> NetworkError | None:
        """The error of a plan with that modelled squared error, by the least favourable of the
        `NEIGHBOURS` measured plans on either side; None where there are none around it.

        Below all of them the model itself, which is exact for small errors, is one more.
        """
        place = bisect_left(self.modelled, modelled_sq)
        if place == len(self.modelled) or modelled_sq * REACH < self.modelled[0]:
            return None
        near = self.ratios[max(0, place - NEIGHBOURS) : place + NEIGHBOURS]
        value, upper = (max(each) for each in zip(*near, strict=True))
        if place == 0:
            value, upper = max(value, 1.0), upper * max(1.0, 1.0 / value if value else 1.0)
        return NetworkError((modelled_sq * value) ** 0.5, (modelled_sq * upper) ** 0.5)
