"""How much a layer's error matters to the network: measured in the network, layer by layer.

The network error (relative error of the compared output over the select split) of a plan is
modelled, to first order, as the root of the sum of squares of its layers' own contributions;
one contribution is proportional to the layer error, and the factor is measured by replacing
that layer alone at one middle rank. The model only guides the choice: the error of every plan
that is kept is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..models.fidelity import relative_error
from ..records import Decomposition
from .assembly import Assembly

FloatArray = NDArray[np.float32]
LEAST_LAYER_ERROR = 1e-6
"""Below this a layer error is rounding, and no factor can be made from it."""


class Sensitivity:
    """Network errors on one set of inputs (the select split), measured and modelled."""

    def __init__(self, assembly: Assembly, inputs: FloatArray) -> None:
        self.assembly, self.inputs = assembly, inputs
        self.reference = assembly.network.outputs(inputs)
        self._factors: dict[tuple[str, str], float] = {}
        self._measured: dict[tuple[tuple[str, Decomposition], ...], float] = {}

    def measured(self, decisions: Mapping[str, Decomposition]) -> float:
        """Relative error of the network's output with these layers replaced."""
        changed = {n: d for n, d in decisions.items() if not d.is_original}
        key = tuple(sorted(changed.items(), key=lambda item: item[0]))
        if key not in self._measured:
            self._measured[key] = self._run(changed) if changed else 0.0
        return self._measured[key]

    def _run(self, changed: Mapping[str, Decomposition]) -> float:
        outputs = self.assembly.network_with(changed).outputs(self.inputs)
        return relative_error(self.reference, outputs)

    def probe(self, name: str, candidates: Sequence[Decomposition]) -> None:
        """Measure the factor of one layer and kind, at the middle one of its candidates."""
        by_error = sorted(candidates, key=lambda d: self.assembly.estimated_error(name, d))
        middle = by_error[len(by_error) // 2]
        layer_error = self.assembly.estimated_error(name, middle)
        network_error = self.measured({name: middle})
        self._factors[name, middle.kind] = network_error / max(layer_error, LEAST_LAYER_ERROR)

    def modelled_sq(self, name: str, decomposition: Decomposition) -> float:
        """The layer's modelled contribution to the squared network error."""
        layer_error = self.assembly.estimated_error(name, decomposition)
        return (self._factors[name, decomposition.kind] * layer_error) ** 2
