"""The network error: how far the compared outputs are from the original network's.

It is the root of the weighted mean, over the compared parts, of their squared relative errors
||difference|| / ||reference||, each over all examples together. It is kept by picture and part, so
that it can be said of any part, of any picture, and of pictures drawn anew; every verb takes its
errors from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .compared import Compared
from .network import Outputs

Squares = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkError:
    """`lost` and `whole` (pictures, parts): squared norms of the difference and of the reference,
    summed over the examples of each picture. `weights` (parts,) add up to 1.

    An output with a number that is not finite loses infinitely much.
    """

    parts: tuple[str, ...]
    lost: Squares
    whole: Squares
    weights: Squares

    @classmethod
    def of(
        cls, compared: Compared, reference: Outputs, outputs: Outputs, pictures: int | None = None
    ) -> Self:
        """The error of outputs (examples, ...) against the reference's.

        `pictures`: how many the examples are of, those of one picture together and equally many
        of each; by default every example is its own. Raises `UsageError` if shapes differ.
        """
        wanted, given = compared.select(reference), compared.select(outputs)
        sums = [_sums(wanted[name], given[name], pictures) for name in compared.names]
        lost, whole = (np.stack(one, axis=1) for one in zip(*sums, strict=True))
        return cls(tuple(compared.names), lost, whole, np.array(compared.shares))

    @property
    def value(self) -> float:
        """The error over all pictures; infinite where a part's is."""
        return math.sqrt(float(self.squares() @ self.weights))

    def squares(self) -> Squares:
        """Squared relative error of each part, (parts,)."""
        return _ratios(self.lost.sum(axis=0), self.whole.sum(axis=0))

    @property
    def by_part(self) -> dict[str, float]:
        """Each part's relative error."""
        return dict(zip(self.parts, np.sqrt(self.squares()).tolist(), strict=True))

    @property
    def by_picture(self) -> Squares:
        """Each picture's error alone, (pictures,): relative to the picture's own outputs, or to an
        average picture's where its own are all 0."""
        average = np.broadcast_to(self.whole.mean(axis=0), self.whole.shape)
        own = np.where(self.whole > 0, self.whole, average)
        return np.asarray(np.sqrt(_ratios(self.lost, own) @ self.weights))

    @property
    def contributions(self) -> Squares:
        """What each picture adds to the squared error over all of them, (pictures,)."""
        totals = np.broadcast_to(self.whole.sum(axis=0), self.lost.shape)
        return np.asarray(_ratios(self.lost, totals) @ self.weights)

    def to_arrays(self) -> dict[str, Squares]:
        """Return what cannot be known without running the network."""
        return {"lost": self.lost, "whole": self.whole}


def _sums(
    reference: NDArray[Any], outputs: NDArray[Any], pictures: int | None
) -> tuple[Squares, Squares]:
    """Return by picture the squares of the difference, and those of the reference."""
    if reference.shape != outputs.shape:
        raise UsageError(
            f"outputs of shape {outputs.shape} cannot be compared with {reference.shape}"
        )
    if not reference.size:
        raise UsageError("there are no outputs to compare")
    rows = reference.reshape(pictures or len(reference), -1).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        lost = np.square(outputs.reshape(rows.shape) - rows).sum(axis=1)
    return np.where(np.isfinite(lost), lost, np.inf), np.square(rows).sum(axis=1)


def _ratios(lost: Squares, whole: Squares) -> Squares:
    """Return lost over whole: 0 where nothing is lost, infinite where there is nothing to lose
    of."""
    some = (whole > 0) & np.isfinite(lost)
    ratios = np.divide(lost, whole, out=np.full(lost.shape, np.inf), where=some)
    return np.where(lost == 0, 0.0, ratios)
