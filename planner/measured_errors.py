"""Network errors of whole plans on one set of inputs, each measured once, kept beside the store."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import astuple
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..factors.assembly import Assembly
from ..inputs.examples import Given
from ..models.batching import spread
from ..models.compared import Compared
from ..models.network import Outputs
from ..models.network_error import NetworkError
from ..records import Decomposition
from .inputs import Inputs
from .progress import Progress

if TYPE_CHECKING:
    from ..factors.cotangents import Cotangents

VERSION = 2
"""Changes with how errors are computed from outputs."""
PASS = "pass over the pictures"

Float64 = NDArray[np.float64]
Decisions = Mapping[str, Decomposition]


class MeasuredErrors:
    """Errors of one network's plans on one set of inputs.

    Networks are run in float32, or in the form that the assembly gives them; the reference is the
    original as it is. An error depends on that form, and on what factors a plan has.
    """

    def __init__(
        self, assembly: Assembly, compared: Compared, inputs: Inputs, progress: Progress
    ) -> None:
        self.assembly, self.compared, self.inputs = assembly, compared, inputs
        self._progress = progress
        self._known: dict[str, NetworkError] = {}
        self._asked: set[str] = set()

    def on(self, assembly: Assembly) -> MeasuredErrors:
        """The same inputs and what is known, for another assembly of the network."""
        other = copy(self)
        other.assembly = assembly
        return other

    @property
    def passes(self) -> int:
        """How many runs over the inputs all that was asked takes, the original's among them, if
        nothing is known before."""
        return len(self._asked) + 1 if self._asked else 0

    @cached_property
    def examples(self) -> Given:
        return self.inputs.make()

    def asked(self, most: int, cotangents: int) -> tuple[Given, Cotangents]:
        """At most so many of the examples, evenly spread, and so many cotangents of the original's
        compared outputs on them: what gradients are taken of."""
        from ..factors.cotangents import Cotangents  # torch's, as gradients are

        examples = spread(self.examples, most)
        outputs = self.assembly.network.outputs(examples)
        return examples, Cotangents.of(self.compared, outputs, cotangents, seed=0)

    @cached_property
    def reference(self) -> Outputs:
        """The original network's outputs."""
        with self._progress.unit(PASS, "running the original over the pictures"):
            return self.assembly.network.outputs(self.examples)

    def of(self, decisions: Decisions) -> NetworkError:
        """The error with these layers replaced."""
        changed = {n: d for n, d in decisions.items() if not d.is_original}
        if not changed and self.assembly.form is None:
            return self._nothing_lost()
        key = self.assembly.plan_key(changed)
        self._asked.add(key)
        if key not in self._known:
            self._known[key] = self._kept(key) or self._measured(key, changed)
        return self._known[key]

    def _nothing_lost(self) -> NetworkError:
        shape = self.inputs.pictures, len(self.compared.parts)
        return self._error(np.zeros(shape), np.ones(shape))

    def _error(self, lost: Float64, whole: Float64) -> NetworkError:
        weights = np.array(self.compared.shares)
        return NetworkError(tuple(self.compared.names), lost, whole, weights)

    def _kept(self, key: str) -> NetworkError | None:
        cache = self.assembly.cache
        arrays = cache.read("error", self._name(key)) if cache else None
        return None if arrays is None else self._error(arrays["lost"], arrays["whole"])

    def _measured(self, key: str, changed: Decisions) -> NetworkError:
        network, reference = self.assembly.answering_with(changed), self.reference
        with self._progress.unit(PASS, "running a plan over the pictures"):
            outputs = network.outputs(self.examples)
        error = NetworkError.of(self.compared, reference, outputs, self.inputs.pictures)
        self._progress.found("network_error", error.value)
        if self.assembly.cache is not None:
            self.assembly.cache.write("error", self._name(key), error.to_arrays())
        return error

    def _name(self, key: str) -> list[object]:
        return [VERSION, key, self.inputs.sha256, *map(astuple, self.compared.parts)]
