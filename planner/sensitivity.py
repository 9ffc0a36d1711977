"""How much a layer's error matters to the network: measured in the network, layer by layer.

The network error (relative error of the compared output over the select split) of a plan is
modelled, to first order, as the root of the sum of squares of its layers' own contributions;
one contribution is the layer error times a factor, which is measured by replacing that layer
alone: first at one middle rank, and then, because the factor is not quite the same for small
and large errors, wherever a plan has chosen ranks far from what was measured. The model only
guides the choice: the error of every plan that is kept is measured.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from ..backends.base import random_input
from ..factors.assembly import Assembly
from ..models.fidelity import relative_error
from ..models.pictures import Calibration
from ..records import Decomposition, canonical_json
from .error_trend import ErrorTrend
from .known_errors import KnownErrors, NetworkError

FloatArray = NDArray[np.float32]
SYNTHETIC_INPUTS = 8
"""Without calibration pictures errors are measured on this many examples of unit noise."""
CONFIDENCE = 0.9
"""Confidence of the bound that is held against a plan's limit: few pictures say little about
others, and the verification will read as many others."""
BOOTSTRAP_DRAWS = 1000
TINY = 1e-30
MIN_LAYER_ERROR = 1e-6
"""Below this a layer error is rounding, and no factor can be made from it."""
NEAR = 1.15
"""Layer errors that differ by less than this share one factor."""


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


@dataclass(frozen=True, slots=True)
class Inputs:
    """What errors are measured on. `make` is called once something has to be measured: pictures
    need not be decoded where everything is known. Examples of one picture stand together."""

    sha256: str
    pictures: int
    make: Callable[[], FloatArray]

    @classmethod
    def of(cls, calibration: Calibration) -> Inputs:
        """The select split."""
        count = len(calibration.split.select)
        return cls(calibration.sha256, count, lambda: calibration.select)

    @classmethod
    def noise(cls, input_shape: Sequence[int], seed: int) -> Inputs:
        """Examples of unit noise for a network with that input, where there are no pictures."""
        shape = (SYNTHETIC_INPUTS, *input_shape[1:])
        named = canonical_json(["unit noise", shape, seed])
        sha256 = hashlib.sha256(named.encode()).hexdigest()
        return cls(sha256, SYNTHETIC_INPUTS, lambda: random_input(shape, seed=seed))


class Sensitivity:
    """Network errors on one set of inputs, measured and modelled; what is in `known` is not
    measured again.

    With `estimating`, errors follow from plans that were measured earlier wherever these say
    something: no network is run, and no factors are made.
    """

    def __init__(
        self, assembly: Assembly, inputs: Inputs, known: KnownErrors, *, estimating: bool = False
    ) -> None:
        self.assembly, self.known, self.estimating = assembly, known, estimating
        self.pictures, self._make_inputs = inputs.pictures, inputs.make
        self._factors: dict[tuple[str, str], dict[float, float]] = {}
        self.before = known.plans()

    @cached_property
    def inputs(self) -> FloatArray:
        return self._make_inputs()

    @cached_property
    def reference(self) -> FloatArray:
        """The original network's outputs."""
        return self.assembly.network.outputs(self.inputs)

    def error(self, decisions: Mapping[str, Decomposition]) -> NetworkError:
        """The network error, measured or (see `estimating`) estimated."""
        estimate = self.expected(decisions) if self.estimating else None
        return estimate or self.measured(decisions)

    def measured(self, decisions: Mapping[str, Decomposition]) -> NetworkError:
        """Error of the network's output with these layers replaced."""
        changed = {n: d for n, d in decisions.items() if not d.is_original}
        if not changed:
            return NetworkError(0.0, 0.0)
        error = self.known.get(changed)
        if error is None:
            error = self._run(changed)
            self.known.put(changed, error)
        return error

    def is_measured(self, decisions: Mapping[str, Decomposition]) -> bool:
        return not decisions or self.known.get(decisions) is not None

    def expected(self, decisions: Mapping[str, Decomposition]) -> NetworkError | None:
        """The error if it is known, else what follows from plans that were measured before this
        run; None where these say nothing."""
        known = self.known.get(decisions)
        return known or self.trend.at(self._modelled_plan_sq(decisions) or 0.0)

    @cached_property
    def trend(self) -> ErrorTrend:
        modelled = [(self._modelled_plan_sq(plan), error) for plan, error in self.before]
        return ErrorTrend.of((error_sq, error) for error_sq, error in modelled if error_sq)

    def _modelled_plan_sq(self, plan: Mapping[str, Decomposition]) -> float | None:
        """The modelled squared error; None where a factor was not measured in this run."""
        if any((name, d.kind) not in self._factors for name, d in plan.items()):
            return None
        return math.fsum(self.modelled_sq(name, d) for name, d in plan.items())

    def _run(self, changed: Mapping[str, Decomposition]) -> NetworkError:
        outputs = self.assembly.network_with(changed).outputs(self.inputs)
        return network_error(self.reference, outputs, self.pictures)

    def probe(self, name: str, candidates: Sequence[Decomposition]) -> None:
        """Measure the factor of one layer and kind, at the middle one of its candidates."""
        by_error = sorted(candidates, key=lambda d: self.assembly.estimated_error(name, d))
        self._measure_factor(name, by_error[len(by_error) // 2])

    def is_probed(self, name: str, decomposition: Decomposition) -> bool:
        """Whether the factor was measured at about the layer error of this decomposition."""
        layer_error = self._layer_error(name, decomposition)
        return any(
            max(layer_error, known) <= NEAR * min(layer_error, known)
            for known in self._factors.get((name, decomposition.kind), ())
        )

    def probe_at(self, decisions: Mapping[str, Decomposition], *, known_only: bool = False) -> bool:
        """Measure the factors of a plan's layers where they were measured only far from here;
        with `known_only` just those that an earlier run has measured. Returns if there were any."""
        new = [
            (name, decomposition)
            for name, decomposition in decisions.items()
            if not self.is_probed(name, decomposition)
            and not (known_only and self.known.get({name: decomposition}) is None)
        ]
        for name, decomposition in new:
            self._measure_factor(name, decomposition)
        return bool(new)

    def _measure_factor(self, name: str, decomposition: Decomposition) -> None:
        layer_error = self._layer_error(name, decomposition)
        error = self.measured({name: decomposition}).value
        self.__dict__.pop("trend", None)  # rests on the factors
        self._factors.setdefault((name, decomposition.kind), {})[layer_error] = error / layer_error

    def _layer_error(self, name: str, decomposition: Decomposition) -> float:
        return max(self.assembly.estimated_error(name, decomposition), MIN_LAYER_ERROR)

    def modelled_sq(self, name: str, decomposition: Decomposition) -> float:
        """The layer's modelled contribution to the squared network error; between layer errors
        at which the factor was measured it is interpolated over their logarithms."""
        layer_error = self._layer_error(name, decomposition)
        known = sorted(self._factors[name, decomposition.kind].items())
        errors, factors = zip(*known, strict=True)
        factor = np.interp(np.log(layer_error), np.log(errors), factors)
        return float(factor * self.assembly.estimated_error(name, decomposition)) ** 2
