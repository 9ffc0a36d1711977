"""How much a layer's error matters to the network: measured in the network, layer by layer.

The network error (relative error of the compared output over the select split) of a plan is
modelled, to first order, as the root of the sum of squares of its layers' own contributions;
one contribution is proportional to the layer error, and the factor is measured by replacing
that layer alone at one middle rank. The model only guides the choice: the error of every plan
that is kept is measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from ..models.fidelity import relative_error
from ..records import Decomposition
from .assembly import Assembly

FloatArray = NDArray[np.float32]
CONFIDENCE = 0.9
"""Of the bound that is held against a plan's limit: few pictures say little about others, and
the verification will read as many others."""
BOOTSTRAP_DRAWS = 1000
TINY = 1e-30
LEAST_LAYER_ERROR = 1e-6
"""Below this a layer error is rounding, and no factor can be made from it."""


@dataclass(frozen=True, slots=True)
class NetworkError:
    """Relative error of the compared output: over all examples, and the bound below which it
    stays, with `CONFIDENCE`, on another set of as many pictures."""

    value: float
    upper: float


def network_error(reference: FloatArray, outputs: FloatArray, pictures: int) -> NetworkError:
    """Both arrays are (examples, ...), the examples of one picture standing together, equally
    many of each.

    Crops of one picture are alike, so whole pictures are drawn (cluster bootstrap; Efron and
    Tibshirani 1993, chapter 8). How far the errors of two such draws are apart, as a ratio, says
    how far the next set's may be from this one's: both sets were chosen by chance. One picture
    says nothing of others; its bound is its value.
    """
    value = relative_error(reference, outputs)
    if not math.isfinite(value):
        return NetworkError(value, value)
    rows = reference.reshape(pictures, -1).astype(np.float64)
    lost = np.square(outputs.reshape(pictures, -1) - rows).sum(axis=1)
    whole = np.square(rows).sum(axis=1)
    drawn = np.random.default_rng(0).integers(pictures, size=(2, BOOTSTRAP_DRAWS, pictures))
    errors_sq = lost[drawn].sum(axis=2) / np.maximum(whole[drawn].sum(axis=2), TINY)
    here, there = np.log(np.maximum(errors_sq, TINY)) / 2
    return NetworkError(value, value * math.exp(np.quantile(there - here, _level(pictures))))


def _level(pictures: int) -> float:
    """The quantile to read off for `CONFIDENCE`: a bootstrap of few draws is too narrow, which
    the expanded percentile makes up for (Hesterberg 2015, section 5.3)."""
    if pictures < 2:
        return CONFIDENCE
    wider = math.sqrt(pictures / (pictures - 1)) * stdtrit(pictures - 1, CONFIDENCE)
    return float(ndtr(wider))


class Sensitivity:
    """Network errors on one set of inputs (the select split), measured and modelled."""

    def __init__(self, assembly: Assembly, inputs: FloatArray, pictures: int) -> None:
        self.assembly, self.inputs, self.pictures = assembly, inputs, pictures
        self.reference = assembly.network.outputs(inputs)
        self._factors: dict[tuple[str, str], float] = {}
        self._measured: dict[tuple[tuple[str, Decomposition], ...], NetworkError] = {}

    def measured(self, decisions: Mapping[str, Decomposition]) -> NetworkError:
        """Error of the network's output with these layers replaced."""
        changed = {n: d for n, d in decisions.items() if not d.is_original}
        key = tuple(sorted(changed.items(), key=lambda item: item[0]))
        if key not in self._measured:
            self._measured[key] = self._run(changed) if changed else NetworkError(0.0, 0.0)
        return self._measured[key]

    def _run(self, changed: Mapping[str, Decomposition]) -> NetworkError:
        outputs = self.assembly.network_with(changed).outputs(self.inputs)
        return network_error(self.reference, outputs, self.pictures)

    def probe(self, name: str, candidates: Sequence[Decomposition]) -> None:
        """Measure the factor of one layer and kind, at the middle one of its candidates."""
        by_error = sorted(candidates, key=lambda d: self.assembly.estimated_error(name, d))
        middle = by_error[len(by_error) // 2]
        layer_error = self.assembly.estimated_error(name, middle)
        found = self.measured({name: middle}).value
        self._factors[name, middle.kind] = found / max(layer_error, LEAST_LAYER_ERROR)

    def modelled_sq(self, name: str, decomposition: Decomposition) -> float:
        """The layer's modelled contribution to the squared network error."""
        layer_error = self.assembly.estimated_error(name, decomposition)
        return (self._factors[name, decomposition.kind] * layer_error) ** 2
