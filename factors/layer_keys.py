"""What names a layer's error curves and factors in the cache: all that they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..lowrank import Source, moments_wanted
from ..lowrank.shrinkage import WEIGHTS_ALONE, Shrinkage
from ..models.network import Network
from ..models.splits import SplitName
from ..records import Decomposition, LayerSpec
from .moments import SELECTING, LayerMoments

CURVES_VERSION = 5
"""Version of the curves' files: it changes with how errors are computed, so that older files are
not read."""
FACTORS_VERSION = 5
"""Version of factors: it changes with how factors are made or refined, or which of them is
taken."""


class LayerKeys:
    """The keys of one network's layers; see `Assembly` for `moments` and `chosen`."""

    def __init__(
        self,
        network: Network,
        moments: LayerMoments | None,
        chosen: Mapping[str, Shrinkage] | None,
    ) -> None:
        self.network, self.moments, self.chosen = network, moments, chosen
        self.specs = {use.name: use.spec for use in network.layers}
        self._weights: dict[str, list[object]] = {}

    def spec(self, name: str) -> LayerSpec:
        """The spec of a layer; `PlanError` if there is no such layer or nothing applies."""
        spec = self.specs.get(name)
        if spec is None:
            state = "cannot be decomposed" if name in self.specs else "is not in this network"
            raise PlanError(f"layer {name!r} {state}")
        return spec

    def from_data(self, name: str) -> LayerMoments | None:
        """Where the layer's moments are, if its factors are made from data."""
        return None if self.chosen is not None and name not in self.chosen else self.moments

    def source(self, name: str, kind: str) -> Source:
        """Which vectors' moments this layer's factors use; empty for none."""
        moments = self.from_data(name)
        if moments is None:
            return ""
        source = moments_wanted(self.spec(name), kind)
        there = source and (self.chosen is not None or moments.has("fit", name, source))
        return source if there else ""

    def curve(self, name: str, kind: str, groups: int) -> list[object]:
        """Of an error curve: the kind, the weights, and the moments with their choice."""
        data = self._data(name, kind, SELECTING)
        if data:
            data.append("select" if self.chosen is None else list(astuple(self.chosen[name])))
        return [CURVES_VERSION, kind, groups, self._layer(name), data]

    def made(self, name: str, decomposition: Decomposition) -> list[object]:
        """Of what is known of factors that were made: what a curve's depends on, and the ranks."""
        curve = self.curve(name, decomposition.kind, decomposition.groups)
        return [FACTORS_VERSION, curve, decomposition.ranks]

    def factors(
        self, name: str, decomposition: Decomposition, shrinkage: Shrinkage
    ) -> list[object]:
        """Of factors; not what chose their shrinkage, so that those that were made for a plan are
        the ones that it is applied with."""
        data: list[object] = []
        if shrinkage != WEIGHTS_ALONE:
            data = [*self._data(name, decomposition.kind, ["fit"]), *astuple(shrinkage)]
        layer = [self.spec(name).dtype, *self._layer(name)]
        return [FACTORS_VERSION, decomposition.to_json(), layer, data]

    def _data(self, name: str, kind: str, splits: Iterable[SplitName]) -> list[object]:
        """The moments and metrics that this layer's factors use."""
        moments = self.from_data(name)
        if moments is None:
            return []
        source, key = self.source(name, kind), list[object]()
        for split in splits:
            if source:
                key.append(moments.key(split, name, source))
            if moments.has_metric("fit", name):
                key.append(moments.metric_key(split, name))
        return key

    def _layer(self, name: str) -> list[object]:
        """The layer's weights, and what else says how they are taken apart."""
        if name not in self._weights:
            weight, bias = self.network.weights(name)
            spec, of_bias = self.spec(name), None if bias is None else _sha256(bias)
            self._weights[name] = [spec.op, spec.groups, _sha256(weight), of_bias]
        return self._weights[name]


def _sha256(array: NDArray[Any]) -> str:
    """Of the numbers and their shape: constant weights of two shapes may have the same bytes."""
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()
