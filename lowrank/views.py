"""How a kind sees a patch whose values its first link mixes at each of several positions.

A patch x has `inner * positions` values. With F (r x inner) for the first link its features are
(F (x) I) x, r at each position: `r * positions` values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .algebra import Matrix
from .kinds import Arrays


@dataclass(frozen=True, slots=True)
class View:
    """`fold` makes the links' weights of F (r x inner), the core (r_out x r x positions) and U
    (C_out x r_out); U is None where what comes after F has no rank of its own."""

    inner: int
    positions: int
    two_ranks: bool
    fold: Callable[[Matrix, Matrix, Matrix | None], Arrays]

    def features(self, first: Matrix, columns: Matrix) -> Matrix:
        """(F (x) I) M for M (n, k): (r*positions, k)."""
        product: Matrix = first @ columns.reshape(self.inner, -1)
        return product.reshape(first.shape[0] * self.positions, -1)

    def gram(self, first: Matrix, metric: Matrix) -> Matrix:
        """(F (x) I) A (F (x) I)^T, the second moments of the features, from those of patches."""
        seen = self.features(first, metric)
        return self.features(first, np.ascontiguousarray(seen.T))

    def spread(self, first: Matrix, second: Matrix) -> Matrix:
        """S (F (x) I), the weight (rows of S, n) that both amount to."""
        cores = second.reshape(len(second), first.shape[0], self.positions)
        whole = np.einsum("orp,ra->oap", cores, first, optimize=True)
        return np.ascontiguousarray(whole).reshape(len(second), -1)

    def traced(self, metric: Matrix) -> Matrix:
        """A summed over equal positions, (inner, inner)."""
        blocks = metric.reshape(self.inner, self.positions, self.inner, self.positions)
        result: Matrix = np.einsum("apbp->ab", blocks)
        return result
