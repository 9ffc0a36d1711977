"""Network errors that were measured before, kept beside the store by all that they depend on.

One with a single layer replaced is a row of the store and moves with it (`db export`). One with
several is an entry of a file of the cache, one file for each network and set of inputs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..db.sensitivities import RELATIVE_ERROR
from ..db.store import Store
from ..factors.array_cache import ArrayCache
from ..factors.assembly import FACTORS_VERSION
from ..factors.moments import VERSION as MOMENTS_VERSION
from ..records import Decomposition, canonical_json

ERRORS_VERSION = 1
"""Changes with how a network error or its bound is computed from outputs."""

Decisions = Mapping[str, Decomposition]


@dataclass(frozen=True, slots=True)
class NetworkError:
    """Relative error of the compared output: over all examples, and the bound below which it
    stays, with `sensitivity.CONFIDENCE`, on another set of as many pictures."""

    value: float
    upper: float


class KnownErrors:
    """The errors of one network on one set of inputs, of which `inputs_sha256` is the hash.

    `factors` says how each layer's factors are chosen, where it is not on the select split: a
    plan's own choice gives other errors. Networks are always run in float32, so no dtype is
    part of what an error depends on.
    """

    def __init__(
        self,
        cache: ArrayCache,
        network_sha256: str,
        inputs_sha256: str,
        *,
        store: Store | None = None,
        factors: Mapping[str, float | None] | None = None,
    ) -> None:
        self.cache, self.store = cache, store if factors is None else None
        self._network, self._inputs, self._factors = network_sha256, inputs_sha256, factors
        self._errors = {**self._of_plans(), **self._of_layers()}

    def get(self, decisions: Decisions) -> NetworkError | None:
        return self._errors.get(_key(decisions))

    def put(self, decisions: Decisions, error: NetworkError) -> None:
        self._errors[_key(decisions)] = error
        if not math.isfinite(error.value):
            return  # no number that a database keeps
        if len(decisions) > 1 or self.store is None:
            # Read again, because another process may have added to the file meanwhile.
            self._errors = {**self._of_plans(), **self._errors}
            self.cache.write("errors", self._file, self._arrays())
            return
        ((name, decomposition),) = decisions.items()
        entry = {(name, decomposition): (error.value, error.upper)}
        self.store.sensitivities.put(self._network, self._inputs, entry, metric=self._metric)

    def plans(self) -> list[tuple[dict[str, Decomposition], NetworkError]]:
        """The decisions with several layers replaced, and their errors."""
        plans = [(_decisions(key), error) for key, error in self._errors.items()]
        return [(decisions, error) for decisions, error in plans if len(decisions) > 1]

    @property
    def _version(self) -> str:
        return f"{ERRORS_VERSION}.{FACTORS_VERSION}.{MOMENTS_VERSION}"

    @property
    def _metric(self) -> str:
        return f"{RELATIVE_ERROR} {self._version}"

    @property
    def _file(self) -> list[Any]:
        factors = None if self._factors is None else sorted(self._factors.items())
        return [self._version, self._network, self._inputs, factors]

    def _of_layers(self) -> dict[str, NetworkError]:
        if self.store is None:
            return {}
        rows = self.store.sensitivities.get(self._network, self._inputs, metric=self._metric)
        return {_key({name: d}): NetworkError(*numbers) for (name, d), numbers in rows.items()}

    def _of_plans(self) -> dict[str, NetworkError]:
        arrays = self.cache.read("errors", self._file) or {}
        return {key: NetworkError(*map(float, numbers)) for key, numbers in arrays.items()}

    def _arrays(self) -> dict[str, Any]:
        """The entries of the file: what the store does not keep."""
        return {
            key: np.array([error.value, error.upper])
            for key, error in self._errors.items()
            if self.store is None or len(_decisions(key)) > 1
        }


def _key(decisions: Decisions) -> str:
    """JSON of what is replaced, sorted by layer: the same for the same network."""
    return canonical_json({name: d.to_json() for name, d in decisions.items()})


def _decisions(key: str) -> dict[str, Decomposition]:
    return {name: Decomposition.from_json(d) for name, d in json.loads(key).items()}
