"""What a kind of decomposition is: everything that is to be known of it, as data.

A third party makes one and names it in the entry-point group `rankwise.decompositions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..ops.chain import Chain
from ..records import Decomposition, LayerSpec
from .curves import ErrorCurve
from .moments import Moments, Source
from .shapes import Links, Ranks

Float64 = NDArray[np.float64]
Arrays = tuple[Float64, ...]


class Factorization(Protocol):
    """One weight, taken apart once; every rank is then cheap or a refinement."""

    def weights(self, ranks: Ranks) -> Arrays:
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


@runtime_checkable
class Started(Factorization, Protocol):
    """A factorization that is refined for its ranks from something that is quickly made."""

    def start_weights(self, ranks: Ranks) -> Arrays:
        """The weights of the links before they are refined."""
        ...


def start_of(made: Factorization, ranks: Ranks) -> Arrays:
    """The weights of the links before they are refined, if they are."""
    return made.start_weights(ranks) if isinstance(made, Started) else made.weights(ranks)


Made = TypeVar("Made", bound=Factorization)


@runtime_checkable
class Drafted(Factorization, Protocol):
    """A factorization that is refined in turns, of which the first bring most."""

    def draft(self) -> Self:
        """The same, refined in a few turns only."""
        ...


def draft_of(made: Made) -> Made:
    """The same, refined in a few turns only, if it is refined in turns."""
    return made.draft() if isinstance(made, Drafted) else made


@runtime_checkable
class Tabulated(Factorization, Protocol):
    """A factorization that knows its estimates at many ranks at once."""

    def error_curve(self) -> ErrorCurve:
        """The estimates on a grid of ranks; `estimated` says whether they are the errors."""
        ...


@runtime_checkable
class FromData(Tabulated, Protocol):
    """A factorization made from moments, which moments of other pictures can judge.

    `bias` is the layer's. `metric` (C_out, C_out) says what an error of the output costs,
    e^T K e for an error e; None: the square of its length.
    """

    def measured_on(
        self, spec: LayerSpec, held_out: Moments, bias: Float64 | None, metric: Float64 | None
    ) -> Tabulated:
        """The same factors with their errors under those moments."""
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
    links: Callable[[LayerSpec, Ranks], Links]
    """The shapes of the chain's links at valid ranks."""
    unfold: Callable[[LayerSpec, Float64], Arrays]
    """For each rank the matrix whose rank it limits; (groups, rows, columns) of a grouped layer."""
    factorize: Factorize
    """The weight taken apart: (spec, float64 weight, moments, shrinkage). What is made from
    moments is `FromData`."""
    moments: Source = ""
    """Which moments the factors can be made from; empty: from the weights alone."""
    rank_step: Callable[[LayerSpec], int] = attrgetter("groups")
    """What every rank is a multiple of: each of the layer's groups has as many."""
    by_default: bool = True
    """Whether candidates are made where nobody has named kinds."""
    groups: int = 1
    """`Decomposition.groups`: the branches of a chain whose links are branched."""
    branch: Callable[[int], Kind] | None = None
    """This kind in another number of branches, where it can be branched."""
    branchings: tuple[int, ...] = (1,)
    """The numbers of branches that candidates are made with."""

    def with_groups(self, groups: int) -> Kind:
        """This kind in so many branches; `LayerError` if it has none."""
        if groups == self.groups:
            return self
        if self.branch is None:
            raise LayerError(f"{self.name} has no groups, but {groups} were asked")
        if groups < 1:
            raise LayerError(f"{self.name} needs at least one group, not {groups}")
        return self.branch(groups)

    def lower(self, spec: LayerSpec, decomposition: Decomposition) -> Chain:
        """The chain that replaces the layer; `LayerError` if the kind or ranks do not fit."""
        kind = self.with_groups(decomposition.groups)
        return Chain(kind.links(spec, kind.checked_ranks(spec, decomposition)))

    def require_applies(self, spec: LayerSpec) -> None:
        """Raise `LayerError` with the reason if this kind cannot replace the layer."""
        if reason := self.applies(spec):
            raise LayerError(f"{self.name} does not apply to this layer: {reason}")

    def checked_ranks(self, spec: LayerSpec, decomposition: Decomposition) -> Ranks:
        """The ranks, if they are possible for this layer; else `LayerError`."""
        self.require_applies(spec)
        if decomposition.groups != self.groups:
            return self.with_groups(decomposition.groups).checked_ranks(spec, decomposition)
        full, ranks, step = self.full_ranks(spec), decomposition.ranks, self.rank_step(spec)
        if len(ranks) != len(full):
            raise LayerError(f"{self.name} takes {len(full)} rank(s), not {len(ranks)}")
        for rank, limit in zip(ranks, full, strict=True):
            if not isinstance(rank, (int, np.integer)):
                raise LayerError(f"rank {rank!r} of {self.name} is not a whole number")
            if not step <= rank <= limit:
                raise LayerError(
                    f"rank {rank} of {self.name} is outside {step} to {limit} for this layer"
                )
            if rank % step:
                raise LayerError(
                    f"rank {rank} of {self.name} is no multiple of {step}, the number of groups"
                )
        return tuple(int(rank) for rank in ranks)
