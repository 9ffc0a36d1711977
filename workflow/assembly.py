"""Factor weights for a network's layers, and the network that they make."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError, PlanError
from ..lowrank import ErrorCurve, Factorizer, Moments, Source, factorizer, lower, moments_wanted
from ..ops.chain import Chain, LinkWeights
from ..records import Decomposition, LayerSpec
from .array_cache import ArrayCache
from .moments import LayerMoments

if TYPE_CHECKING:
    from ..models.network import Network

CURVES_VERSION = 2
"""Changes with how errors are computed, so that older files are not read."""

Key = tuple[str, str, int]
"""Layer name, kind, branches."""

KEPT_FACTORIZERS = 1
"""Layers' weights that stay taken apart. Each holds four matrices as large as its moments."""


@dataclass(frozen=True, slots=True, eq=False)
class MadeFactors:
    """Factors of one layer. `shrinkage` is None where they are from the weights alone."""

    links: tuple[LinkWeights, ...]
    error: float
    shrinkage: float | None


class Assembly:
    """One network, its layers' factors and what they lose, each made once.

    With `moments` (of the fit and the select split), layers that have some get factors from
    data wherever these are better on the select split, which errors then are of. `chosen` says
    instead which layers get them, at which shrinkage, as a plan does; the others' are from the
    weights. Error curves go into `cache`, if there is one.
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
        self._made: dict[tuple[str, Decomposition], MadeFactors] = {}
        self._curves: dict[Key, ErrorCurve] = {}

    def layer_error(self, name: str, decomposition: Decomposition) -> float:
        """Relative error of the layer's output on the select split (with moments) or of its
        weight (without), of exactly the factors that `replacement` gives."""
        if decomposition.is_original:
            return 0.0
        return self.made(name, decomposition).error

    def estimated_error(self, name: str, decomposition: Decomposition) -> float:
        """As `layer_error`, but from the error curve: where factors are refined for their
        ranks, of those before that."""
        if decomposition.is_original:
            return 0.0
        return self.curve(name, decomposition.kind, decomposition.groups).at(decomposition.ranks)

    def shrinkage(self, name: str, decomposition: Decomposition) -> float | None:
        """Of the layer's factors; None where they are from the weights alone."""
        return None if decomposition.is_original else self.made(name, decomposition).shrinkage

    def curve(self, name: str, kind: str, groups: int = 1) -> ErrorCurve:
        """The layer's errors under one kind, over its ranks; from the cache if they are there."""
        key = name, kind, groups
        if key not in self._curves:
            self._curves[key] = self._cached_curve(key)
        return self._curves[key]

    def _cached_curve(self, key: Key) -> ErrorCurve:
        if self.cache is None:
            return self._factorizer(*key).table()
        of = self._curve_key(*key)
        arrays = self.cache.read("curve", of)
        if arrays is not None:
            return ErrorCurve.from_arrays(arrays)
        found = self._factorizer(*key).table()
        self.cache.write("curve", of, found.to_arrays())
        return found

    def _curve_key(self, name: str, kind: str, groups: int) -> list[object]:
        """All that a curve depends on: the kind, the weights, and the moments with their choice."""
        weight, bias = self.network.weights(name)
        spec, source = self.spec(name), self._source(name, kind)
        layer = [spec.op, spec.groups, _sha256(weight), None if bias is None else _sha256(bias)]
        data: list[object] = []
        if source and self.moments is not None:
            data = [self.moments.key(split, name, source) for split in ("fit", "select")]
            data.append("select" if self.chosen is None else self.chosen[name])
        return [CURVES_VERSION, kind, groups, layer, data]

    def replacement(
        self, name: str, decomposition: Decomposition
    ) -> tuple[Chain, Sequence[LinkWeights]]:
        return lower(self.spec(name), decomposition), self.made(name, decomposition).links

    def made(self, name: str, decomposition: Decomposition) -> MadeFactors:
        """The layer's factors at these ranks, refined; remembered."""
        key = name, decomposition
        if key not in self._made:
            one = self._factorizer(name, decomposition.kind, decomposition.groups)
            ranks = decomposition.ranks
            self._made[key] = MadeFactors(one.at(ranks), one.error(ranks), one.shrinkage_at(ranks))
        return self._made[key]

    def network_with(self, decisions: Mapping[str, Decomposition]) -> Network:
        """A copy of the network in which each named layer is replaced by its chain."""
        changed = {n: d for n, d in decisions.items() if not d.is_original}
        return self.network.replaced({n: self.replacement(n, d) for n, d in changed.items()})

    def spec(self, name: str) -> LayerSpec:
        """The spec of a layer; `PlanError` if there is no such layer or nothing applies."""
        spec = self.specs.get(name)
        if spec is None:
            state = "cannot be decomposed" if name in self.specs else "is not in this network"
            raise PlanError(f"layer {name!r} {state}")
        return spec

    def _source(self, name: str, kind: str) -> Source:
        """Of which vectors this layer's factors use moments; empty for none."""
        if self.moments is None or (self.chosen is not None and name not in self.chosen):
            return ""
        source = moments_wanted(self.spec(name), kind)
        there = source and (self.chosen is not None or self.moments.has("fit", name, source))
        return source if there else ""

    def _factorizer(self, name: str, kind: str, groups: int) -> Factorizer:
        key = name, kind, groups
        found = self._factorizers.pop(key, None) or self._taken_apart(name, kind, groups)
        self._factorizers[key] = found
        while len(self._factorizers) > KEPT_FACTORIZERS:
            del self._factorizers[next(iter(self._factorizers))]
        return found

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
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def check_decisions(assembly: Assembly, decisions: Mapping[str, Decomposition]) -> None:
    """Every decision must be possible here: known layer, known kind, ranks within the full."""
    for name, decomposition in decisions.items():
        spec = assembly.spec(name)
        try:
            lower(spec, decomposition)
        except LayerError as error:
            raise PlanError(f"layer {name!r} cannot become {decomposition}: {error}") from None
