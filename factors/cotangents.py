"""Random directions of the compared outputs, in which differences count as in the network error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.compared import Compared


@dataclass(frozen=True, slots=True, eq=False)
class Cotangents:
    """For each example some directions v, each one vector over all compared parts; `counts` says
    how many of each example.

    The squared network error is the mean over parts (by weight) of ||d||^2 / ||y||^2, d and y
    being a part's difference and its reference over all examples. Directions are scaled so that
    for any small change of the network the sum over examples and directions of (v . d)^2 has that
    error as its expectation: the parts of v are divided by the norms of theirs, and by the root of
    the number of directions.

    An example's directions are orthogonal, which leaves the expectation as it is and varies less
    than independent ones do (Hutchinson's estimator with orthogonal vectors); as many as the
    outputs have values are a basis and give the error exactly.
    """

    compared: Compared
    scales: Mapping[str, float]
    counts: NDArray[np.intp]
    seed: int

    @classmethod
    def of(
        cls,
        compared: Compared,
        outputs: Mapping[str, NDArray[Any]],
        count: int,
        seed: int,
        losses: NDArray[np.float64] | None = None,
    ) -> Self:
        """For the examples whose outputs, of the original network, these are: (n, ...) each, with
        `count` directions an example on average. A part that is zero throughout has no relative
        error and is left out.

        `losses` (n,): what is expected of the examples' squared errors, up to a factor. Then they
        share the directions in proportion to it, each having one at least, because the deviation
        of an example's estimate is in proportion to it, too (Neyman's allocation).
        """
        norms = [float(np.linalg.norm(part)) for part in compared.select(outputs).values()]
        scales = {
            part.name: math.sqrt(share) / norm if norm else 0.0
            for part, share, norm in zip(compared.parts, compared.shares, norms, strict=True)
        }
        examples = len(next(iter(outputs.values())))
        counts = np.full(examples, count)
        if losses is not None and losses.sum() > 0:
            shared = np.rint(losses * (count * examples / losses.sum()))
            counts = np.maximum(shared.astype(np.intp), 1)
        return cls(compared, scales, counts, seed)

    def directions(
        self, parts: Mapping[str, Tensor], examples: Mapping[int, int]
    ) -> Iterator[dict[str, Tensor]]:
        """Yield one direction after the other for a batch, as tensors like its compared parts.

        `examples`: by row of the batch the number of the example there, which with the seed decides
        about its directions, however examples are put into batches. All other rows are zero.
        """
        sizes = {name: part[0].numel() for name, part in parts.items()}
        drawn = {row: self._drawn(number, sizes) for row, number in examples.items()}
        for turn in range(max(self._count(number, sizes) for number in examples.values())):
            direction = {name: torch.zeros_like(part) for name, part in parts.items()}
            for row, number in examples.items():
                if turn < self._count(number, sizes):
                    for name, values in drawn[row].items():
                        of_row = torch.from_numpy(values[turn])
                        direction[name][row] = of_row.view_as(parts[name][row])
            yield direction

    def _count(self, number: int, sizes: Mapping[str, int]) -> int:
        """Return how many directions an example has: no more than its outputs have values."""
        return min(int(self.counts[number]), sum(sizes.values()))

    def _drawn(self, number: int, sizes: Mapping[str, int]) -> dict[str, NDArray[np.float32]]:
        """Return an example's directions by part, (directions, values) each."""
        size, count = sum(sizes.values()), self._count(number, sizes)
        rng = np.random.default_rng([self.seed, number])
        basis = np.linalg.qr(rng.standard_normal((size, count), dtype=np.float32))[0]
        rows = np.ascontiguousarray(basis.T) * np.float32(math.sqrt(size / count))
        cuts = np.cumsum(list(sizes.values()))[:-1]
        split = zip(sizes, np.split(rows, cuts, axis=1), strict=True)
        return {name: part * np.float32(self.scales[name]) for name, part in split}
