"""The kinds of decomposition, as data. A new kind is one entry of `KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..ops.chain import Chain
from ..records import Decomposition, LayerSpec
from . import projection, shapes, tucker
from .moments import Moments, Source

Ranks = tuple[int, ...]
Float64 = NDArray[np.float64]


class Factorization(Protocol):
    """One weight, taken apart once; every rank is then cheap or a refinement."""

    def weights(self, ranks: Ranks) -> tuple[Float64, ...]:
        """The weights of the links, in float64."""
        ...

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        """The last link's bias, from the layer's."""
        ...

    def error(self, ranks: Ranks) -> float:
        """Relative error of exactly what `weights` gives."""
        ...

    def estimate(self, ranks: Ranks) -> float:
        """The error, or an upper bound of it that costs nothing for every further rank."""
        ...


Factorize = Callable[[LayerSpec, Float64, Moments | None, float | None], Factorization]


@dataclass(frozen=True, slots=True)
class Kind:
    """Shapes and weights of one kind of decomposition."""

    name: str
    applies: Callable[[LayerSpec], str]
    """Empty, or the reason why this kind cannot replace that layer, in one phrase."""
    full_ranks: Callable[[LayerSpec], Ranks]
    """The ranks at which nothing is lost: the upper limit of each rank."""
    links: Callable[[LayerSpec, Ranks], tuple[LayerSpec, ...]]
    """The shapes of the chain's links at valid ranks."""
    unfold: Callable[[LayerSpec, Float64], tuple[Float64, ...]]
    """For each rank the matrix whose rank it limits."""
    factorize: Factorize
    """The weight taken apart: (spec, float64 weight, moments, shrinkage)."""
    moments: Source = ""
    """Which moments the factors can be made from; empty: from the weights alone."""

    @property
    def uses_moments(self) -> bool:
        """Whether moments change the factors."""
        return bool(self.moments)

    def lower(self, spec: LayerSpec, decomposition: Decomposition) -> Chain:
        """The chain that replaces the layer; `LayerError` if the kind or ranks do not fit."""
        return Chain(self.links(spec, self.checked_ranks(spec, decomposition)))

    def checked_ranks(self, spec: LayerSpec, decomposition: Decomposition) -> Ranks:
        """The ranks, if they are possible for this layer; else `LayerError`."""
        reason = self.applies(spec)
        if reason:
            raise LayerError(f"{self.name} does not apply to this layer: {reason}")
        if decomposition.groups != 1:
            raise LayerError(f"{self.name} has no groups, but {decomposition.groups} were asked")
        full, ranks = self.full_ranks(spec), decomposition.ranks
        if len(ranks) != len(full):
            raise LayerError(f"{self.name} takes {len(full)} rank(s), not {len(ranks)}")
        for rank, limit in zip(ranks, full, strict=True):
            if not isinstance(rank, (int, np.integer)):
                raise LayerError(f"rank {rank!r} of {self.name} is not a whole number")
            if not 1 <= rank <= limit:
                raise LayerError(
                    f"rank {rank} of {self.name} is outside 1 to {limit} for this layer"
                )
        return tuple(int(rank) for rank in ranks)


@dataclass(frozen=True, slots=True, eq=False)
class Unchanged:
    """The original as a factorization: one link, no loss."""

    weight: Float64

    def weights(self, ranks: Ranks) -> tuple[Float64, ...]:
        return (self.weight,)

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        return bias

    def error(self, ranks: Ranks) -> float:
        return 0.0

    estimate = error


def _unchanged(
    spec: LayerSpec, weight: Float64, moments: Moments | None, shrinkage: float | None
) -> Unchanged:
    return Unchanged(weight)


def _nothing(spec: LayerSpec, weight: Float64) -> tuple[Float64, ...]:
    return ()


_ALL = (
    Kind(
        "original",
        shapes.original_applies,
        shapes.original_full_ranks,
        shapes.original_links,
        _nothing,
        _unchanged,
    ),
    Kind(
        "svd",
        shapes.svd_applies,
        shapes.projection_full_ranks,
        shapes.projection_links,
        projection.output_unfolding,
        projection.project_output,
        moments="outputs",
    ),
    Kind(
        "channel_svd",
        shapes.channel_svd_applies,
        shapes.projection_full_ranks,
        shapes.projection_links,
        projection.output_unfolding,
        projection.project_output,
        moments="outputs",
    ),
    Kind(
        "spatial_svd",
        shapes.spatial_svd_applies,
        shapes.spatial_svd_full_ranks,
        shapes.spatial_svd_links,
        projection.spatial_unfolding,
        projection.project_spatial,
        moments="patches",
    ),
    Kind(
        "tucker2",
        shapes.channel_svd_applies,
        shapes.tucker2_full_ranks,
        shapes.tucker2_links,
        tucker.channel_unfoldings,
        tucker.tucker2,
        moments="patches",
    ),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def find_kind(name: str) -> Kind:
    """The kind of that name; `LayerError` that lists the known ones."""
    if name not in KINDS:
        raise LayerError(f"unknown kind {name!r}; known are {', '.join(KINDS)}")
    return KINDS[name]
