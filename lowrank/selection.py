"""How far factors from data are pulled towards those from the weights: by held-out pictures.

Few pictures overfit. So of several shrinkages the one is taken under which the layer's output on
*other* pictures (the select split) suffers least, and wherever the factors from the weights
alone are no worse there, they are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import LayerError
from ..records import LayerSpec
from .curves import ErrorCurve
from .kinds import Arrays, Float64, FromData, Kind, Tabulated
from .moments import Moments
from .shapes import Ranks

SHRINKAGES = (0.001, 0.01, 0.1, 0.3, 0.6, 1.0)
FIRST_TRIED = 2
"""Position in `SHRINKAGES` from which the best is looked for, downhill: errors have one valley."""
SHARES = (0.25, 0.5)
"""Of full rank, at which shrinkages are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """At each rank the better of two on held-out pictures: from data, from the weights."""

    from_data: Tabulated
    from_weights: Tabulated
    shrinkage: float

    def shrinkage_at(self, ranks: Ranks) -> float | None:
        """The shrinkage of the factors at these ranks; None: they are from the weights."""
        return self.shrinkage if self._best(ranks) is self.from_data else None

    def weights(self, ranks: Ranks) -> Arrays:
        return self._best(ranks).weights(ranks)

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        return self._best(ranks).bias(ranks, bias)

    def error(self, ranks: Ranks) -> float:
        return self._best(ranks).error(ranks)

    def estimate(self, ranks: Ranks) -> float:
        return min(self.from_data.estimate(ranks), self.from_weights.estimate(ranks))

    def error_curve(self) -> ErrorCurve:
        ours, others = self.from_data.error_curve(), self.from_weights.error_curve().errors
        least, better = np.minimum(ours.errors, others), ours.errors < others
        return ErrorCurve(ours.axes, least, ours.estimated, self.shrinkage, better)

    def _best(self, ranks: Ranks) -> Tabulated:
        better = self.from_data.error(ranks) < self.from_weights.error(ranks)
        return self.from_data if better else self.from_weights


def select(
    spec: LayerSpec,
    kind: Kind,
    weight: Float64,
    bias: Float64 | None,
    fit: Moments,
    held_out: Moments,
    shrinkage: float | None = None,
) -> Selected:
    """The shrinkage of least held-out error, by the geometric mean over `SHARES` of full rank,
    unless an earlier selection is given (`shrinkage`); at each rank against the weights alone.

    `bias` matters where the kind is measured by outputs. Raises `LayerError` if it is missing.
    """
    full = kind.full_ranks(spec)
    probes = [tuple(max(1, round(share * limit)) for limit in full) for share in SHARES]

    def from_data(amount: float) -> FromData:
        made = kind.factorize(spec, weight, fit, amount)
        if not isinstance(made, FromData):
            raise LayerError(f"{kind.name} cannot be measured on other pictures")
        return made

    def tried(amount: float) -> tuple[float, tuple[FromData, Tabulated]]:
        made = from_data(amount)
        measured = made.measured_on(spec, held_out, bias)
        errors = [max(measured.estimate(ranks), np.finfo(float).tiny) for ranks in probes]
        return float(np.log(errors).mean()), (made, measured)

    if shrinkage is None:
        shrinkage, (made, measured) = downhill(tried)
    else:
        made = from_data(shrinkage)
        measured = made.measured_on(spec, held_out, bias)
    plain = kind.factorize(spec, weight, None, None)
    return Selected(measured, made.rival_on(spec, held_out, bias, plain), shrinkage)


def downhill(tried: Callable[[float], tuple[float, Any]]) -> tuple[float, Any]:
    """The shrinkage of least score and what was made with it, from `FIRST_TRIED` to either
    side until it gets worse. Keeps two things made at a time, because they are large."""
    position = FIRST_TRIED
    score, made = tried(SHRINKAGES[position])
    for step in (-1, 1):
        start = position
        while 0 <= position + step < len(SHRINKAGES):
            other, candidate = tried(SHRINKAGES[position + step])
            if other >= score:
                break
            score, made, position = other, candidate, position + step
        if position != start:
            break
    return SHRINKAGES[position], made
