"""Factor weights for a network's layers, and the network that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import LayerError, PlanError
from ..lowrank import ErrorCurve, lower
from ..lowrank.shrinkage import WEIGHTS_ALONE, Shrinkage
from ..models.network import Answering, Network, Replacements
from ..ops.chain import Chain, LinkWeights
from ..records import Decomposition, LayerSpec, content_key
from .array_cache import ArrayCache
from .channel_matching import ChannelMatching
from .layer_keys import LayerKeys
from .layers_apart import LayersApart
from .moments import LayerMoments
from .side_by_side import side_by_side
from .stored_factors import from_array, from_arrays, to_array, to_arrays

Replacement = tuple[Chain, Sequence[LinkWeights]]
Key = tuple[str, str, int]
"""Layer name, kind, branches."""


class Form(Protocol):
    """In which numbers a network with some layers replaced computes. `key` is what of it errors
    depend on; in a `mixed` one single layers may stay in float32."""

    @property
    def mixed(self) -> bool: ...

    @property
    def key(self) -> list[object]: ...

    def __call__(self, network: Network, decisions: Mapping[str, Decomposition], /) -> Network:
        """The network that is timed, such as one in int8."""
        ...

    def answering(self, network: Network) -> Answering:
        """What such a network answers, rounded as the form does it."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """What one layer's factors lose, and which sides of the layer they are made from."""

    error: float
    shrinkage: Shrinkage


class Assembly:
    """One network, its layers' factors and what they lose, each made once.

    What was made is kept in `cache`, if there is one: error curves; the error and shrinkage of
    factors that were made; and the factors themselves of networks with several layers replaced,
    which are what is applied and verified later.

    With `moments` (of the fit and the select split), layers that have some get factors from
    data wherever these are better on the select split, which errors then are of. `chosen` says
    instead which layers get them, and how, as a plan does; the others' are from the weights. With
    `matching` the channels of replaced layers are brought back to the original's.
    """

    def __init__(
        self,
        network: Network,
        moments: LayerMoments | None = None,
        chosen: Mapping[str, Shrinkage] | None = None,
        cache: ArrayCache | None = None,
        matching: ChannelMatching | None = None,
    ) -> None:
        self.network, self.moments, self.chosen = network, moments, chosen
        self.cache = cache or (moments.cache if moments else None)
        self.matching = matching
        self.form: Form | None = None
        self.keys = LayerKeys(network, moments, chosen)
        self.specs = self.keys.specs
        self._apart = LayersApart(self.keys, self.cache)
        self._made: dict[tuple[str, Decomposition], Made] = {}
        self._links: dict[tuple[str, Decomposition], tuple[LinkWeights, ...]] = {}
        self._curves: dict[Key, ErrorCurve] = {}

    def with_matching(self, matching: ChannelMatching) -> Assembly:
        """The same factors, with the channels of replaced layers matched."""
        other = copy(self)
        other.matching = matching
        return other

    def in_form(self, form: Form | None) -> Assembly:
        """The same factors, in networks that become what `form` makes of them, if anything."""
        other = copy(self)
        other.form = form
        return other

    def layer_error(self, name: str, decomposition: Decomposition) -> float:
        """Relative error of the layer's output on the select split (with moments) or of its
        weight (without), of exactly the factors that `replacement` gives."""
        if not decomposition.has_factors:
            return 0.0
        return self.made(name, decomposition).error

    def estimated_error(self, name: str, decomposition: Decomposition) -> float:
        """Return the layer error that the error curve gives: where factors are refined for their
        ranks, it is the error before that."""
        if not decomposition.has_factors:
            return 0.0
        return self.curve(name, decomposition.kind, decomposition.groups).at(decomposition.ranks)

    def curve(self, name: str, kind: str, groups: int = 1) -> ErrorCurve:
        """The layer's errors under one kind, over its ranks; from the cache if they are there."""
        key = name, kind, groups
        if key not in self._curves:
            self._curves[key] = self._cached_curve(key)
        return self._curves[key]

    def make_curves(self, keys: Iterable[Key]) -> None:
        """Make the curves that are not there yet, layers side by side."""
        of_layer: dict[str, list[Key]] = {}
        for key in keys:
            if key not in self._curves:
                of_layer.setdefault(key[0], []).append(key)
        specs = [self.spec(name) for name in of_layer]
        side_by_side(lambda every: [self.curve(*key) for key in every], [*of_layer.values()], specs)

    def _cached_curve(self, key: Key) -> ErrorCurve:
        if self.cache is None:
            return self._apart.get(*key).error_curve()
        of = self.keys.curve(*key)
        arrays = self.cache.read("curve", of)
        if arrays is not None:
            return ErrorCurve.from_arrays(arrays)
        curve = self._apart.get(*key).error_curve()
        self.cache.write("curve", of, curve.to_arrays())
        return curve

    def replacements(self, decisions: Mapping[str, Decomposition]) -> Replacements:
        """The chains of these layers with their factors, by name; nothing for a layer that stays as
        it is."""
        changed = {n: d for n, d in decisions.items() if d.has_factors}
        self.make_all(changed)
        made = {name: self.replacement(name, one) for name, one in changed.items()}
        if self.matching is None or not made:
            return made
        return self.matching(made, self.plan_key(decisions))

    def replacement(self, name: str, decomposition: Decomposition) -> Replacement:
        """One layer's chain with its factors as they are made, its channels not matched."""
        return lower(self.spec(name), decomposition), self.links(name, decomposition)

    def draft(self, name: str, decomposition: Decomposition) -> Replacement:
        """One layer's chain with a draft of its factors, which is quicker to make than those of
        `replacement` and some per cent worse at most; not remembered."""
        key, ranks = (name, decomposition.kind, decomposition.groups), decomposition.ranks
        made = self._apart.draft(*key, self.curve(*key).shrinkage_at(ranks))
        return lower(self.spec(name), decomposition), made.at(ranks)

    def plan_key(self, decisions: Mapping[str, Decomposition]) -> str:
        """What names a network with these layers replaced, by all that its weights depend on."""
        changed = {n: d for n, d in decisions.items() if d.has_factors}
        self.make_all(changed)
        factors = [self._factors_key(name, one) for name, one in sorted(changed.items())]
        matched = None if self.matching is None else self.matching.key
        of_floats = [self.network.sha256, sorted(changed), factors, matched]
        if self.form is None:
            return content_key(of_floats)
        precisions = [[n, d.precision] for n, d in sorted(decisions.items()) if d.precision]
        return content_key([*of_floats, *self.form.key, precisions])

    def make_all(self, decisions: Mapping[str, Decomposition]) -> None:
        """Make the factors of these layers that are not there yet, side by side."""
        if self.chosen is None:
            missing = [one for one in decisions.items() if one not in self._made]
            specs = [self.spec(name) for name, _ in missing]
            side_by_side(lambda one: self.made(*one), missing, specs)

    def made(self, name: str, decomposition: Decomposition) -> Made:
        """What the layer's factors at these ranks lose, refined; remembered."""
        key = name, decomposition
        if key not in self._made:
            self._made[key] = self._cached_made(name, decomposition) or self._make(*key)
        return self._made[key]

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
        one = self._apart.get(name, decomposition.kind, decomposition.groups)
        ranks = decomposition.ranks
        self._links[name, decomposition] = one.at(ranks)
        made = Made(one.error(ranks), one.shrinkage_at(ranks))
        if self.cache is not None:
            arrays = {"error": np.array(made.error), "shrinkage": to_array(made.shrinkage)}
            self.cache.write("made", self.keys.made(name, decomposition), arrays)
        return made

    def _cached_made(self, name: str, decomposition: Decomposition) -> Made | None:
        arrays = self.cache and self.cache.read("made", self.keys.made(name, decomposition))
        if not arrays:
            return self._planned(name, decomposition)
        return Made(float(arrays["error"]), from_array(arrays["shrinkage"]))

    def _planned(self, name: str, decomposition: Decomposition) -> Made | None:
        """For a plan's own choice: what was written when the plan was made, if it chose so."""
        if self.chosen is None:
            return None
        planner = Assembly(self.network, self.moments, cache=self.cache)
        made = planner._cached_made(name, decomposition)
        wanted = self.chosen.get(name, WEIGHTS_ALONE)
        return made if made is not None and made.shrinkage == wanted else None

    def _factors_key(self, name: str, decomposition: Decomposition) -> list[object]:
        chosen = self.chosen
        if chosen is None:
            return self.keys.factors(name, decomposition, self.made(name, decomposition).shrinkage)
        return self.keys.factors(name, decomposition, chosen.get(name, WEIGHTS_ALONE))

    def network_with(self, decisions: Mapping[str, Decomposition]) -> Network:
        """A copy of the network in which each named layer is replaced by its chain, in the
        assembly's form."""
        changed = {n: d for n, d in decisions.items() if d.has_factors}
        network = self.network.replaced(self.replacements(changed))
        if len(changed) > 1 and self.cache is not None:
            for name, decomposition in changed.items():
                key = self._factors_key(name, decomposition)
                if not self.cache.has("factors", key):
                    arrays = to_arrays(self.links(name, decomposition))
                    self.cache.write("factors", key, arrays)
        return network if self.form is None else self.form(network, decisions)

    def answering_with(self, decisions: Mapping[str, Decomposition]) -> Answering:
        """The same network, as it answers in the assembly's form."""
        network = self.network_with(decisions)
        return network if self.form is None else self.form.answering(network)

    def spec(self, name: str) -> LayerSpec:
        """The spec of a layer; `PlanError` if there is no such layer or nothing applies."""
        return self.keys.spec(name)


def check_decisions(assembly: Assembly, decisions: Mapping[str, Decomposition]) -> None:
    """Every decision must be possible here: known layer, known kind, ranks within the full."""
    for name, decomposition in decisions.items():
        spec = assembly.spec(name)
        try:
            lower(spec, decomposition)
        except LayerError as error:
            raise PlanError(f"layer {name!r} cannot become {decomposition}: {error}") from None
