"""A network's layers taken apart, with the data that their factors are made from."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..lowrank import KINDS, Factorizer, Moments, factorizer
from ..lowrank.shrinkage import Shrinkage
from ..models.splits import SplitName
from .array_cache import ArrayCache
from .layer_keys import LayerKeys
from .side_by_side import LastTakenApart
from .stored_factors import from_array, to_array

Data = tuple[Moments | None, NDArray[Any] | None]


class LayersApart:
    """Each layer under each kind, taken apart when it is asked for; see `LastTakenApart`.

    How much of a layer's data factors are made from is chosen once for all kinds that are made from
    the same moments, under the one of the largest full rank: it says how far few pictures can be
    trusted, and to choose is most of the work. On ResNet-50-thin the errors of `spatial_svd` stayed
    as they were so, and those of `input_svd` and `tucker2` became 0.7% less; with `tucker2` to
    decide, those of `spatial_svd` became 3.6% more.
    """

    def __init__(self, keys: LayerKeys, cache: ArrayCache | None) -> None:
        self.keys, self.cache = keys, cache
        self._last = LastTakenApart()
        self._amounts: dict[tuple[str, str], Shrinkage | None] = {}

    def get(self, name: str, kind: str, groups: int) -> Factorizer:
        """The layer under that kind, in so many branches."""
        key = name, kind, groups
        return self._last.get(key, lambda: self._taken_apart(*key))

    def draft(self, name: str, kind: str, groups: int, shrinkage: Shrinkage) -> Factorizer:
        """The same, made from that much of the data, with drafts of its factors."""
        key = name, kind, groups, shrinkage
        return self._last.get(key, lambda: self._drafted(*key))

    def _drafted(self, name: str, kind: str, groups: int, shrinkage: Shrinkage) -> Factorizer:
        moments, metric = self._data_of("fit", name, kind)
        of = self.keys.spec(name), kind, *self.keys.network.weights(name)
        made = factorizer(*of, moments, shrinkage, groups=groups, outputs_metric=metric)
        return made.draft()

    def _taken_apart(self, name: str, kind: str, groups: int) -> Factorizer:
        moments, chosen = self.keys.from_data(name), self.keys.chosen
        if moments is None:
            return self._made(name, kind, groups, None)
        if chosen is not None:
            return self._made(name, kind, groups, chosen[name])
        source = self.keys.source(name, kind)
        key = name, source or kind
        if key in self._amounts:
            return self._made(name, kind, groups, self._amounts[key])
        deciding = self._deciding(name, kind, source) if source else kind
        of = self.keys.curve(name, deciding, 1)
        arrays = self.cache and self.cache.read("shrinkage", of)
        if arrays:
            self._amounts[key] = from_array(arrays["chosen"])
            return self._made(name, kind, groups, self._amounts[key])
        made = self._made(name, deciding, 1, None)
        self._amounts[key] = made.chosen
        if made.chosen is not None and self.cache is not None:
            self.cache.write("shrinkage", of, {"chosen": to_array(made.chosen)})
        same = (kind, groups) == (deciding, 1)
        return made if same else self._made(name, kind, groups, made.chosen)

    def _deciding(self, name: str, kind: str, source: str) -> str:
        """Of the default kinds that are made from that source, the one of the largest full rank;
        `kind` itself where there is none."""
        spec = self.keys.spec(name)
        fitting = [one for one in KINDS.values() if one.by_default and not one.applies(spec)]
        alike = [one for one in fitting if self.keys.source(name, one.name) == source]
        return max(alike or [KINDS[kind]], key=lambda one: one.full_ranks(spec)[0]).name

    def _made(self, name: str, kind: str, groups: int, shrinkage: Shrinkage | None) -> Factorizer:
        of = self.keys.spec(name), kind, *self.keys.network.weights(name)
        moments, metric = self._data_of("fit", name, kind)
        if self.keys.chosen is not None:
            return factorizer(*of, moments, shrinkage, groups=groups, outputs_metric=metric)
        held_out, held_out_metric = self._data_of("select", name, kind)
        return factorizer(
            *of,
            moments,
            shrinkage,
            held_out,
            groups,
            outputs_metric=metric,
            held_out_metric=held_out_metric,
        )

    def _data_of(self, split: SplitName, name: str, kind: str) -> Data:
        """The layer's moments and output metric on that split; neither where factors are from the
        weights alone."""
        moments, source = self.keys.from_data(name), self.keys.source(name, kind)
        if moments is None:
            return None, None
        seen = moments.read(split, name, source) if source else None
        return seen, moments.read_metric(split, name)
