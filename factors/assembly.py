"""Factor weights for a network's layers, and the network that they make."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError, PlanError
from ..lowrank import ErrorCurve, Factorizer, Moments, Source, factorizer, lower, moments_wanted
from ..models.network import Network
from ..ops.chain import Chain, LinkWeights
from ..records import Decomposition, LayerSpec
from .array_cache import ArrayCache
from .moments import LayerMoments
from .stored_factors import from_arrays, to_arrays

CURVES_VERSION = 3
"""Version of the curves' files: it changes with how errors are computed, so that older files are
not read."""
FACTORS_VERSION = 1
"""Version of factors: it changes with how factors are made or refined, or which of them is
taken."""

Key = tuple[str, str, int]
"""Layer name, kind, branches."""

KEPT_FACTORIZERS = 1
"""Layers' weights that stay taken apart. Each holds four matrices as large as its moments."""


@dataclass(frozen=True, slots=True)
class Made:
    """What one layer's factors lose. `shrinkage` is None where they are from the weights alone."""

    error: float
    shrinkage: float | None


class Assembly:
    """One network, its layers' factors and what they lose, each made once.

    What was made is kept in `cache`, if there is one: error curves; the error and shrinkage of
    factors that were made; and the factors themselves of networks with several layers replaced,
    which are what is applied and verified later. A network with one is a probe, of which only
    the error is wanted again, and probes are many.

    With `moments` (of the fit and the select split), layers that have some get factors from
    data wherever these are better on the select split, which errors then are of. `chosen` says
    instead which layers get them, at which shrinkage, as a plan does; the others' are from the
    weights.
    """

    def __init__(
        self,
        network: Network,
        moments: LayerMoments | None = None,
        chosen: Mapping[str, float | None] | None = None,
        cache: ArrayCache | None = None,
    ) -> None:
        self.network, self.moments, self.chosen = network, moments, chosen
        self.cache = cache or (moments.cache if moments else None)
        self.specs = {use.name: use.spec for use in network.layers}
        self._factorizers: dict[Key, Factorizer] = {}
        self._made: dict[tuple[str, Decomposition], Made] = {}
        self._links: dict[tuple[str, Decomposition], tuple[LinkWeights, ...]] = {}
        self._curves: dict[Key, ErrorCurve] = {}
        self._weights: dict[str, list[object]] = {}

    def layer_error(self, name: str, decomposition: Decomposition) -> float:
        """Relative error of the layer's output on the select split (with moments) or of its
        weight (without), of exactly the factors that `replacement` gives."""
        if decomposition.is_original:
            return 0.0
        return self.made(name, decomposition).error

    def estimated_error(self, name: str, decomposition: Decomposition) -> float:
        """Return the layer error that the error curve gives: where factors are refined for their
        ranks, it is the error before that."""
        if decomposition.is_original:
            return 0.0
        return self.curve(name, decomposition.kind, decomposition.groups).at(decomposition.ranks)

    def shrinkage(self, name: str, decomposition: Decomposition) -> float | None:
        """Return the shrinkage of the layer's factors; None where they are from the weights
        alone."""
        return None if decomposition.is_original else self.made(name, decomposition).shrinkage

    def curve(self, name: str, kind: str, groups: int = 1) -> ErrorCurve:
        """The layer's errors under one kind, over its ranks; from the cache if they are there."""
        key = name, kind, groups
        if key not in self._curves:
            self._curves[key] = self._cached_curve(key)
        return self._curves[key]

    def _cached_curve(self, key: Key) -> ErrorCurve:
        if self.cache is None:
            return self._factorizer(*key).error_curve()
        of = self._curve_key(*key)
        arrays = self.cache.read("curve", of)
        if arrays is not None:
            return ErrorCurve.from_arrays(arrays)
        curve = self._factorizer(*key).error_curve()
        self.cache.write("curve", of, curve.to_arrays())
        return curve

    def _curve_key(self, name: str, kind: str, groups: int) -> list[object]:
        """Return all that a curve depends on: the kind, the weights, and the moments with their
        choice."""
        data: list[object] = []
        source = self._source(name, kind)
        if source and self.moments is not None:
            data = [self.moments.key(split, name, source) for split in ("fit", "select")]
            data.append("select" if self.chosen is None else self.chosen[name])
        return [CURVES_VERSION, kind, groups, self._layer_key(name), data]

    def _layer_key(self, name: str) -> list[object]:
        """Return what names the layer's weights, and what else says how they are taken apart."""
        if name not in self._weights:
            weight, bias = self.network.weights(name)
            spec, of_bias = self.spec(name), None if bias is None else _sha256(bias)
            self._weights[name] = [spec.op, spec.groups, _sha256(weight), of_bias]
        return self._weights[name]

    def replacement(
        self, name: str, decomposition: Decomposition
    ) -> tuple[Chain, Sequence[LinkWeights]]:
        return lower(self.spec(name), decomposition), self.links(name, decomposition)

    def made(self, name: str, decomposition: Decomposition) -> Made:
        """What the layer's factors at these ranks lose, refined; remembered."""
        key = name, decomposition
        if key not in self._made:
            self._made[key] = self._cached_made(name, decomposition) or self._make(*key)
        return self._made[key]

    def expected(self, name: str, decomposition: Decomposition) -> Made:
        """Return what the error curve says of the factors, before they are refined."""
        curve = self.curve(name, decomposition.kind, decomposition.groups)
        return Made(curve.at(decomposition.ranks), curve.shrinkage_at(decomposition.ranks))

    def links(self, name: str, decomposition: Decomposition) -> tuple[LinkWeights, ...]:
        """The layer's factors at these ranks, refined; remembered."""
        key = name, decomposition
        if key not in self._links:
            of = self._factors_key(*key)  # which may have to make them
            arrays = None if key in self._links else self.cache and self.cache.read("factors", of)
            if arrays:
                self._links[key] = from_arrays(arrays)
        if key not in self._links:
            self._make(*key)
        return self._links[key]

    def _make(self, name: str, decomposition: Decomposition) -> Made:
        one = self._factorizer(name, decomposition.kind, decomposition.groups)
        ranks = decomposition.ranks
        self._links[name, decomposition] = one.at(ranks)
        made = Made(one.error(ranks), one.shrinkage_at(ranks))
        if self.cache is not None:
            shrinkage = np.nan if made.shrinkage is None else made.shrinkage
            arrays = {"error": np.array(made.error), "shrinkage": np.array(shrinkage)}
            self.cache.write("made", self._made_key(name, decomposition), arrays)
        return made

    def _cached_made(self, name: str, decomposition: Decomposition) -> Made | None:
        arrays = self.cache and self.cache.read("made", self._made_key(name, decomposition))
        if not arrays:
            return self._planned(name, decomposition)
        shrinkage = float(arrays["shrinkage"])
        return Made(float(arrays["error"]), None if np.isnan(shrinkage) else shrinkage)

    def _planned(self, name: str, decomposition: Decomposition) -> Made | None:
        """For a plan's own choice: what was written when the plan was made, if it chose so."""
        if self.chosen is None:
            return None
        planner = Assembly(self.network, self.moments, cache=self.cache)
        made = planner._cached_made(name, decomposition)
        if made is None or (made.shrinkage is not None) != (name in self.chosen):
            return None
        return made if made.shrinkage == self.chosen.get(name) else None

    def _made_key(self, name: str, decomposition: Decomposition) -> list[object]:
        curve = self._curve_key(name, decomposition.kind, decomposition.groups)
        return [FACTORS_VERSION, curve, decomposition.ranks]

    def _factors_key(self, name: str, decomposition: Decomposition) -> list[object]:
        """Return all that factors depend on; not what chose their shrinkage, so that those that
        were made for a plan are the ones that it is applied with."""
        source: Source = self._source(name, decomposition.kind)
        shrinkage = self.chosen[name] if self.chosen and source else None
        if self.chosen is None and source:
            shrinkage = self.made(name, decomposition).shrinkage
            source = "" if shrinkage is None else source
        data: list[object] = []
        if source and self.moments is not None:
            data = [self.moments.key("fit", name, source), shrinkage]
        layer = [self.spec(name).dtype, *self._layer_key(name)]
        return [FACTORS_VERSION, decomposition.to_json(), layer, data]

    def network_with(self, decisions: Mapping[str, Decomposition]) -> Network:
        """A copy of the network in which each named layer is replaced by its chain."""
        changed = {n: d for n, d in decisions.items() if not d.is_original}
        network = self.network.replaced({n: self.replacement(n, d) for n, d in changed.items()})
        if len(changed) > 1 and self.cache is not None:
            for name, decomposition in changed.items():
                key = self._factors_key(name, decomposition)
                if not self.cache.has("factors", key):
                    arrays = to_arrays(self.links(name, decomposition))
                    self.cache.write("factors", key, arrays)
        return network

    def spec(self, name: str) -> LayerSpec:
        """The spec of a layer; `PlanError` if there is no such layer or nothing applies."""
        spec = self.specs.get(name)
        if spec is None:
            state = "cannot be decomposed" if name in self.specs else "is not in this network"
            raise PlanError(f"layer {name!r} {state}")
        return spec

    def _source(self, name: str, kind: str) -> Source:
        """Return which vectors' moments this layer's factors use; empty for none."""
        if self.moments is None or (self.chosen is not None and name not in self.chosen):
            return ""
        source = moments_wanted(self.spec(name), kind)
        there = source and (self.chosen is not None or self.moments.has("fit", name, source))
        return source if there else ""

    def _factorizer(self, name: str, kind: str, groups: int) -> Factorizer:
        key = name, kind, groups
        ready = self._factorizers.pop(key, None) or self._taken_apart(name, kind, groups)
        self._factorizers[key] = ready
        while len(self._factorizers) > KEPT_FACTORIZERS:
            del self._factorizers[next(iter(self._factorizers))]
        return ready

    def _taken_apart(self, name: str, kind: str, groups: int) -> Factorizer:
        weight, bias = self.network.weights(name)
        source, spec = self._source(name, kind), self.spec(name)
        if not source or self.moments is None:
            return factorizer(spec, kind, weight, bias, groups=groups)
        fit = self.moments.read("fit", name, source)
        if self.chosen is not None:
            return factorizer(spec, kind, weight, bias, fit, self.chosen[name], groups=groups)
        held_out: Moments | None = self.moments.read("select", name, source)
        known = self._curves.get((name, kind, groups))
        shrinkage = known.shrinkage if known else None
        return factorizer(spec, kind, weight, bias, fit, shrinkage, held_out, groups)


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data.cast("B")).hexdigest()


def check_decisions(assembly: Assembly, decisions: Mapping[str, Decomposition]) -> None:
    """Every decision must be possible here: known layer, known kind, ranks within the full."""
    for name, decomposition in decisions.items():
        spec = assembly.spec(name)
        try:
            lower(spec, decomposition)
        except LayerError as error:
            raise PlanError(f"layer {name!r} cannot become {decomposition}: {error}") from None
