"""What each choice of a layer adds to the squared network error, as it is modelled.

One pass over the select split, forward and backward, gives the contribution of any change of any
layer (see `factors.sensitivities`). It is taken for `PROBES` ranks of each layer and kind; between
them the contribution is the squared layer error times a factor, which is interpolated, because
the layer error is known at every rank (see `Assembly.estimated_error`). What was found is kept in
the store.

A network that torch cannot differentiate is run with one layer replaced at a time instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ..factors.assembly import Assembly
from ..records import ORIGINAL, Decomposition

PROBES = 3
"""Ranks of each layer and kind whose contributions are taken."""
MIN_LAYER_ERROR = 1e-6
"""Below this a layer error is rounding, and no factor can be made from it."""

Probe = tuple[str, Decomposition]
Kind = tuple[str, str, int]
"""A layer's name, and the kind and the groups of what it may become."""

NONE: Mapping[Probe, float] = MappingProxyType({})


class Contributions:
    """Contributions to the squared network error, from those that were taken of some choices; in
    int8 also those of `rounding`, for each layer as it is (`ORIGINAL`) and for choices that were
    taken. A choice whose rounding is not known is rounded at the loss of its layer."""

    def __init__(
        self,
        assembly: Assembly,
        taken: Mapping[Probe, float],
        rounding: Mapping[Probe, float] = NONE,
    ) -> None:
        self._assembly = assembly
        self._factors: dict[Kind, dict[float, float]] = {}
        self._rounding: dict[Kind, dict[float, float]] = {}
        for (name, one), error_sq in taken.items():
            error = self._layer_error(name, one)
            factor = float(np.sqrt(error_sq)) / error
            self._factors.setdefault((name, one.kind, one.groups), {})[error] = factor
        for (name, one), error_sq in rounding.items():
            error = self._layer_error(name, one) if one.has_factors else 1.0
            self._rounding.setdefault((name, one.kind, one.groups), {})[error] = error_sq

    def of(self, name: str, choice: Decomposition) -> float:
        """The modelled contribution of this choice; between layer errors at which the factor is
        known it is interpolated over their logarithms."""
        if not choice.has_factors:
            return 0.0
        factor = self._between(self._factors[name, choice.kind, choice.groups], name, choice)
        return float(factor * self._assembly.estimated_error(name, choice)) ** 2

    def with_rounding(self, name: str, choice: Decomposition) -> float:
        """The same with what rounding adds, save where the choice stays in float32."""
        if choice.precision:
            return self.of(name, choice)
        known = self._rounding.get((name, choice.kind, choice.groups))
        added = self._between(known, name, choice) if known else self.rounding(name)
        return self.of(name, choice) + added

    def rounding(self, name: str) -> float:
        """What rounding the layer as it is to eight bits adds; 0 in float32."""
        return self._rounding.get((name, ORIGINAL.kind, ORIGINAL.groups), {}).get(1.0, 0.0)

    def _between(self, known: Mapping[float, float], name: str, choice: Decomposition) -> float:
        """A value that is known at some layer errors, at the choice's."""
        errors, values = zip(*sorted(known.items()), strict=True)
        error = self._layer_error(name, choice) if choice.has_factors else 1.0
        return float(np.interp(np.log(error), np.log(errors), values))

    def _layer_error(self, name: str, choice: Decomposition) -> float:
        return max(self._assembly.estimated_error(name, choice), MIN_LAYER_ERROR)


def probes(
    assembly: Assembly, candidates: Mapping[str, Sequence[Decomposition]], count: int = PROBES
) -> list[Probe]:
    """Of each layer's candidates those that are taken: of each kind `count`, from the smallest
    layer error to the largest."""
    assembly.make_curves(
        (name, of_kind[0].kind, of_kind[0].groups)
        for name, every in candidates.items()
        for of_kind in _by_kind(every)
    )
    return [
        (name, one)
        for name, every in candidates.items()
        for of_kind in _by_kind(every)
        for one in _spread(assembly, name, of_kind, count)
    ]


def _by_kind(candidates: Iterable[Decomposition]) -> list[list[Decomposition]]:
    kinds: dict[tuple[str, int], list[Decomposition]] = {}
    for one in candidates:
        kinds.setdefault((one.kind, one.groups), []).append(one)
    return list(kinds.values())


def _spread(
    assembly: Assembly, name: str, candidates: Sequence[Decomposition], count: int
) -> list[Decomposition]:
    by_error = sorted(candidates, key=lambda one: assembly.estimated_error(name, one))
    if count == 1:
        return [by_error[len(by_error) // 2]]
    places = np.linspace(0, len(by_error) - 1, min(count, len(by_error))).round().astype(int)
    return [by_error[place] for place in dict.fromkeys(places.tolist())]
