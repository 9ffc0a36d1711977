"""A grouped convolution taken apart: each group alone, all at the same rank.

Weights of grouped links stand group by group along their first axis, whichever link it is, so
the links of all groups are those of each, one under the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..records import LayerSpec
from .kinds import Arrays, Factorization, Factorize, Float64, start_of
from .moments import Moments
from .shapes import Ranks, of_group

Unfold = Callable[[LayerSpec, Float64], Arrays]


class ByGroup:
    """The factorizations of a layer's groups as one. `energies` weigh their squared errors."""

    def __init__(self, parts: tuple[Factorization, ...], energies: tuple[float, ...]) -> None:
        self.parts = parts
        total = math.fsum(energies)
        self._shares = [energy / total if total else 0.0 for energy in energies]

    def weights(self, ranks: Ranks) -> Arrays:
        return _stacked([part.weights(self._of_group(ranks)) for part in self.parts])

    def start_weights(self, ranks: Ranks) -> Arrays:
        """Before they are refined, if they are."""
        return _stacked([start_of(part, self._of_group(ranks)) for part in self.parts])

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        pieces = np.split(bias, len(self.parts))
        pairs = zip(self.parts, pieces, strict=True)
        return np.concatenate([part.bias(self._of_group(ranks), piece) for part, piece in pairs])

    def error(self, ranks: Ranks) -> float:
        return self._together([part.error(self._of_group(ranks)) for part in self.parts])

    def estimate(self, ranks: Ranks) -> float:
        return self._together([part.estimate(self._of_group(ranks)) for part in self.parts])

    def _together(self, errors: list[float]) -> float:
        pairs = zip(self._shares, errors, strict=True)
        return math.sqrt(math.fsum(share * error**2 for share, error in pairs))

    def _of_group(self, ranks: Ranks) -> Ranks:
        return tuple(rank // len(self.parts) for rank in ranks)


def _stacked(groups: list[Arrays]) -> Arrays:
    """The links of all groups, one group under the other."""
    return tuple(np.concatenate(link) for link in zip(*groups, strict=True))


def by_group(factorize: Factorize) -> Factorize:
    """`factorize`, for grouped convolutions too: these from the weights alone."""

    def grouped(
        spec: LayerSpec,
        weight: Float64,
        moments: Moments | None,
        shrinkage: float | None,
    ) -> Factorization:
        if spec.groups == 1:
            return factorize(spec, weight, moments, shrinkage)
        pieces, one = np.split(weight, spec.groups), of_group(spec)
        return ByGroup(
            tuple(factorize(one, piece, None, None) for piece in pieces),
            tuple(float(np.vdot(piece, piece)) for piece in pieces),
        )

    return grouped


def each_group(unfold: Unfold) -> Unfold:
    """`unfold`, which for a grouped convolution gives (groups, rows, columns)."""

    def grouped(spec: LayerSpec, weight: Float64) -> Arrays:
        if spec.groups == 1:
            return unfold(spec, weight)
        made = [unfold(of_group(spec), piece) for piece in np.split(weight, spec.groups)]
        return tuple(np.stack(matrices) for matrices in zip(*made, strict=True))

    return grouped
