"""Factors from both sides of a layer, for every kind that can be made from moments.

In the coordinates y~ = G^1/2 y of the output metric G all errors of the output cost alike. So a
kind factorizes G^1/2 W there as it does W elsewhere, and as the output channels of every chain's
last link are free, G^-1/2 goes into that link. For one matrix this is the truncated singular value
decomposition of G^1/2 W A^1/2 with both roots taken back, the least of tr(G D A D^T).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..records import LayerSpec
from .curves import ErrorCurve, curve_of
from .kinds import (
    Arrays,
    Factorization,
    Float64,
    FromData,
    Kind,
    Tabulated,
    draft_of,
    start_of,
)
from .moments import MAX_VALUES, Moments, vector_size
from .output_error import effective_weight, relative
from .output_metric import Coordinates, OutputMetric
from .shapes import Ranks
from .shrinkage import Shrinkage

MANY = 2**62
"""The count of moments that are known, not estimated from data."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer's weight as kinds see it (`shapes.with_sides`), and its bias if that is known,
    under one kind."""

    spec: LayerSpec
    kind: Kind
    weight: Float64
    bias: Float64 | None

    @property
    def by_moments(self) -> bool:
        """Whether moments can judge this kind's factors; else their weights are looked at."""
        return bool(self.kind.moments) and self.spec.groups == 1

    def white_moments(self) -> Moments:
        """The moments that the kind uses where inputs are white noise of mean zero, under which
        the lost output is the lost weight: of patches, or of the outputs that they give."""
        matrix = self.weight.reshape(len(self.weight), -1)
        if self.kind.moments == "patches":
            size = matrix.shape[1]
            return Moments(np.zeros(size), np.eye(size), MANY)
        mean = np.zeros(len(matrix)) if self.bias is None else self.bias
        return Moments(mean, matrix @ matrix.T + np.outer(mean, mean), MANY)


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """What one split of the pictures says of a layer: moments that its kind makes factors from,
    and the metric of its outputs. Each may be missing."""

    moments: Moments | None
    metric: OutputMetric | None

    @classmethod
    def of(cls, layer: Layer, moments: Moments | None, metric: NDArray[Any] | None) -> Self:
        """Only what factors of this layer and kind can be made from or judged by."""
        seen = moments if layer.by_moments and moments is not None and moments.count else None
        size = vector_size(layer.spec, layer.kind.moments)
        # Moments of white noise are as large as those of pictures.
        judgeable = seen is not None or not layer.by_moments or size <= MAX_VALUES
        return cls(seen, OutputMetric.of(layer.spec, metric) if judgeable else None)

    def __bool__(self) -> bool:
        return self.moments is not None or self.metric is not None

    @property
    def heard(self) -> Float64 | None:
        """The metric of an ungrouped layer's outputs as a matrix (C_out, C_out)."""
        return None if self.metric is None else self.metric.blocks[0]

    def completed(self, other: Sides) -> Sides:
        """What is missing here is taken from the other split."""
        return Sides(self.moments or other.moments, self.metric or other.metric)


@dataclass(frozen=True, slots=True, eq=False)
class TwoSided:
    """Factors of G^1/2 W, handed out as those of W. `of_outputs`: made from output moments."""

    made: Factorization
    coordinates: Coordinates
    of_outputs: bool

    def draft(self) -> TwoSided:
        """The same, refined in a few turns only, if it is refined in turns."""
        return replace(self, made=draft_of(self.made))

    def weights(self, ranks: Ranks) -> Arrays:
        return self._back(self.made.weights(ranks))

    def start_weights(self, ranks: Ranks) -> Arrays:
        """Before they are refined, if they are."""
        return self._back(start_of(self.made, ranks))

    def _back(self, weights: Arrays) -> Arrays:
        *first, last = weights
        return (*first, self.coordinates.back(last))

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        return self.coordinates.back(self.made.bias(ranks, self.coordinates.into(bias)))

    def error(self, ranks: Ranks) -> float:
        return self.made.error(ranks)

    def estimate(self, ranks: Ranks) -> float:
        return self.made.estimate(ranks)

    def error_curve(self) -> ErrorCurve:
        return _judgeable(self.made).error_curve()

    def measured_on(
        self, spec: LayerSpec, held_out: Moments, bias: Float64 | None, metric: Float64 | None
    ) -> TwoSided:
        """As `FromData.measured_on`, all of it brought into the factors' coordinates."""
        into = self.coordinates
        seen = into.moments(held_out) if self.of_outputs else held_out
        cost = into.metric(np.eye(spec.out_channels) if metric is None else metric)
        turned = None if bias is None else into.into(bias)
        return replace(self, made=_judgeable(self.made).measured_on(spec, seen, turned, cost))


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredOnWeights:
    """Factors of a layer or kind that no moments can judge, with the error of their weight under
    an output metric: sqrt(tr(G D D^T) / tr(G W W^T))."""

    made: Factorization
    layer: Layer
    metric: OutputMetric

    def weights(self, ranks: Ranks) -> Arrays:
        return self.made.weights(ranks)

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        return self.made.bias(ranks, bias)

    def error(self, ranks: Ranks) -> float:
        return self._lost(self.made.weights(ranks))

    def estimate(self, ranks: Ranks) -> float:
        """The error before the factors are refined, if they are."""
        return self._lost(start_of(self.made, ranks))

    def error_curve(self) -> ErrorCurve:
        spec, kind = self.layer.spec, self.layer.kind
        return curve_of(self.estimate, kind.full_ranks(spec), kind.rank_step(spec), costly=True)

    def _lost(self, weights: Arrays) -> float:
        matrix = self.layer.weight.reshape(len(self.layer.weight), -1)
        lost = matrix - effective_weight(weights)
        return relative(self.metric.energy(lost), self.metric.energy(matrix))


def from_sides(layer: Layer, sides: Sides, shrinkage: Shrinkage) -> Factorization:
    """The layer's factors from what `shrinkage` says of both sides: `FromData` or `TwoSided`
    where moments can judge them. Without input moments inputs count as white noise."""
    kind, spec, moments, amount = layer.kind, layer.spec, sides.moments, shrinkage.inputs
    if amount is None:
        moments, amount = layer.white_moments() if layer.by_moments else None, 1.0
    if shrinkage.outputs is None:
        return kind.factorize(spec, layer.weight, moments, amount)
    if sides.metric is None:
        raise LayerError("these factors are made from an output metric, but none was given")
    into, of_outputs = sides.metric.coordinates(shrinkage.outputs), kind.moments == "outputs"
    seen = into.moments(moments) if moments is not None and of_outputs else moments
    made = kind.factorize(spec, into.into(layer.weight), seen, amount)
    return TwoSided(made, into, of_outputs)


def judged(made: Factorization, layer: Layer, sides: Sides) -> Tabulated:
    """The same factors with their errors on pictures of which `sides` are.

    Raises `LayerError` for a kind that makes factors from moments which none can judge.
    """
    if not layer.by_moments:
        assert sides.metric is not None
        return MeasuredOnWeights(made, layer, sides.metric)
    one = made if isinstance(made, TwoSided) else _judgeable(made)
    moments = sides.moments or layer.white_moments()
    return one.measured_on(layer.spec, moments, layer.bias, sides.heard)


def _judgeable(made: Factorization) -> FromData:
    if not isinstance(made, FromData):
        raise LayerError("this kind's factors cannot be measured on other pictures")
    return made
