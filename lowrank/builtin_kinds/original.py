"""original: the layer itself, as a kind, so that keeping a layer is a choice like any other."""

from __future__ import annotations

from dataclasses import dataclass

from ...records import ORIGINAL as DECOMPOSITION
from ..kinds import Arrays, Float64, Kind
from ..shapes import Ranks


@dataclass(frozen=True, slots=True, eq=False)
class Unchanged:
    """The original as a factorization: one link, no loss."""

    weight: Float64

    def weights(self, _ranks: Ranks) -> Arrays:
        return (self.weight,)

    def bias(self, _ranks: Ranks, bias: Float64) -> Float64:
        return bias

    def error(self, _ranks: Ranks) -> float:
        return 0.0

    estimate = error


ORIGINAL = Kind(
    DECOMPOSITION.kind,
    applies=lambda _spec: "",
    full_ranks=lambda _spec: (),
    links=lambda spec, _ranks: (spec,),
    unfold=lambda _spec, _weight: (),
    factorize=lambda _spec, weight, _moments, _shrinkage: Unchanged(weight),
)
