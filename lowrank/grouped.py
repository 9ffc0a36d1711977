"""A grouped convolution taken apart: each group alone, all at the same rank.

Weights of grouped links stand group by group along their first axis, whichever link it is, so
the links of all groups are those of each, one under the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..records import LayerSpec
from .moments import OutputMoments
from .shapes import of_group

if TYPE_CHECKING:
    from .kinds import Factorization, Factorize

Arrays = tuple[NDArray[np.float64], ...]
Unfold = Callable[[LayerSpec, NDArray[np.float64]], Arrays]


class ByGroup:
    """The factorizations of a layer's groups as one. `energies` weigh their squared errors."""

    def __init__(self, parts: tuple[Factorization, ...], energies: tuple[float, ...]) -> None:
        self.parts = parts
        total = math.fsum(energies)
        self._shares = [energy / total if total else 0.0 for energy in energies]

    def weights(self, ranks: tuple[int, ...]) -> Arrays:
        made = [part.weights(self._of_group(ranks)) for part in self.parts]
        return tuple(np.concatenate(link) for link in zip(*made, strict=True))

    def bias(self, ranks: tuple[int, ...], bias: NDArray[np.float64]) -> NDArray[np.float64]:
        pieces = np.split(bias, len(self.parts))
        pairs = zip(self.parts, pieces, strict=True)
        return np.concatenate([part.bias(self._of_group(ranks), piece) for part, piece in pairs])

    def error(self, ranks: tuple[int, ...]) -> float:
        return self._together([part.error(self._of_group(ranks)) for part in self.parts])

    def estimate(self, ranks: tuple[int, ...]) -> float:
        return self._together([part.estimate(self._of_group(ranks)) for part in self.parts])

    def _together(self, errors: list[float]) -> float:
        pairs = zip(self._shares, errors, strict=True)
        return math.sqrt(math.fsum(share * error**2 for share, error in pairs))

    def _of_group(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(rank // len(self.parts) for rank in ranks)


def by_group(factorize: Factorize) -> Factorize:
    """`factorize`, for grouped convolutions too."""

    def grouped(
        spec: LayerSpec,
        weight: NDArray[np.float64],
        moments: OutputMoments | None,
        shrinkage: float | None,
    ) -> Factorization:
        if spec.groups == 1:
            return factorize(spec, weight, moments, shrinkage)
        one = of_group(spec)
        seen = [_moments_of(moments, group, spec.groups) for group in range(spec.groups)]
        pieces = np.split(weight, spec.groups)
        return ByGroup(
            tuple(factorize(one, w, m, shrinkage) for w, m in zip(pieces, seen, strict=True)),
            tuple(_energy(spec, w, m) for w, m in zip(pieces, seen, strict=True)),
        )

    return grouped


def _moments_of(moments: OutputMoments | None, group: int, groups: int) -> OutputMoments | None:
    """Those of one group's outputs."""
    if moments is None:
        return None
    size = moments.channels // groups
    own = slice(group * size, (group + 1) * size)
    return OutputMoments(moments.mean[own], moments.second[own, own], moments.count)


def _energy(spec: LayerSpec, weight: NDArray[np.float64], moments: OutputMoments | None) -> float:
    """What the group's error is relative to: its weight's energy, or its output's."""
    if moments is None or not moments.count:
        return float(np.vdot(weight, weight))
    return float(np.trace(moments.covariance if spec.bias else moments.second))


def each_group(unfold: Unfold) -> Unfold:
    """`unfold`, which for a grouped convolution gives (groups, rows, columns)."""

    def grouped(spec: LayerSpec, weight: NDArray[np.float64]) -> Arrays:
        if spec.groups == 1:
            return unfold(spec, weight)
        made = [unfold(of_group(spec), piece) for piece in np.split(weight, spec.groups)]
        return tuple(np.stack(matrices) for matrices in zip(*made, strict=True))

    return grouped
