"""How far factors from data are pulled towards those from the weights: by held-out pictures.

Few pictures overfit. So of several shrinkages the one is taken under which the layer's output on
*other* pictures (the select split) suffers least, and wherever the factors from the weights
alone are no worse there, they are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..records import LayerSpec
from .alternating import AlternatingFit
from .curves import ErrorCurve
from .kinds import Factorization, Kind, Ranks
from .moments import Moments
from .output_error import OutputError, Vector, effective_weight
from .projection import Projection

Arrays = tuple[NDArray[np.float64], ...]
Table = tuple[list[NDArray[np.int64]], NDArray[np.float64]]

SHRINKAGES = (0.001, 0.01, 0.1, 0.3, 0.6, 1.0)
FIRST_TRIED = 2
"""Position in `SHRINKAGES` from which the best is looked for, downhill: errors have one valley."""
SHARES = (0.25, 0.5)
"""Of full rank, at which shrinkages are compared."""


class Tabulated(Factorization, Protocol):
    """A factorization that gives its estimates at many ranks at once."""

    def table(self) -> Table: ...


@dataclass(frozen=True, slots=True, eq=False)
class FromWeights:
    """Factors from the weights alone, measured on held-out patches. `nested` is the same at its
    start, for all ranks at once."""

    plain: Factorization
    output_error: OutputError
    nested: AlternatingFit

    def weights(self, ranks: Ranks) -> Arrays:
        return self.plain.weights(ranks)

    def bias(self, ranks: Ranks, bias: Vector) -> Vector:
        return self.plain.bias(ranks, bias)

    def error(self, ranks: Ranks) -> float:
        return self.output_error.error(effective_weight(self.plain.weights(ranks)))

    def estimate(self, ranks: Ranks) -> float:
        return self.nested.estimate(ranks)

    def table(self) -> Table:
        return self.nested.table()


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """At each rank the better of two on held-out pictures: from data, from the weights."""

    from_data: Tabulated
    from_weights: Tabulated
    shrinkage: float

    @property
    def exact(self) -> bool:
        """Whether estimates are the errors."""
        return isinstance(self.from_data, Projection)

    def shrinkage_at(self, ranks: Ranks) -> float | None:
        """The shrinkage of the factors at these ranks; None: they are from the weights."""
        return self.shrinkage if self._best(ranks) is self.from_data else None

    def weights(self, ranks: Ranks) -> Arrays:
        return self._best(ranks).weights(ranks)

    def bias(self, ranks: Ranks, bias: Vector) -> Vector:
        return self._best(ranks).bias(ranks, bias)

    def error(self, ranks: Ranks) -> float:
        return self._best(ranks).error(ranks)

    def estimate(self, ranks: Ranks) -> float:
        return min(self.from_data.estimate(ranks), self.from_weights.estimate(ranks))

    def table(self) -> Table:
        curve = self.curve()
        return list(curve.axes), curve.errors

    def curve(self) -> ErrorCurve:
        axes, errors = self.from_data.table()
        others = self.from_weights.table()[1]
        least = np.minimum(errors, others)
        return ErrorCurve(tuple(axes), least, not self.exact, self.shrinkage, errors < others)

    def _best(self, ranks: Ranks) -> Tabulated:
        better = self.from_data.error(ranks) < self.from_weights.error(ranks)
        return self.from_data if better else self.from_weights


def select(
    spec: LayerSpec,
    kind: Kind,
    weight: NDArray[np.float64],
    bias: Vector | None,
    fit: Moments,
    held_out: Moments,
    shrinkage: float | None = None,
) -> Selected:
    """The shrinkage of least held-out error, by the geometric mean over `SHARES` of full rank,
    unless an earlier selection is given (`shrinkage`); at each rank against the weights alone.

    `bias` matters where the kind is measured by outputs. Raises `LayerError` if it is missing.
    """
    judging = _outputs if kind.moments == "outputs" else _patches
    plain, measured = judging(spec, kind, weight, bias, held_out)
    if shrinkage is not None:
        return Selected(measured(kind.factorize(spec, weight, fit, shrinkage)), plain, shrinkage)
    full = kind.full_ranks(spec)
    probes = [tuple(max(1, round(share * limit)) for limit in full) for share in SHARES]

    def tried(amount: float) -> tuple[float, Tabulated]:
        made = measured(kind.factorize(spec, weight, fit, amount))
        errors = [max(made.estimate(ranks), np.finfo(float).tiny) for ranks in probes]
        return float(np.log(errors).mean()), made

    found, made = downhill(tried)
    return Selected(made, plain, found)


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


Judging = tuple[Tabulated, Callable[[Any], Tabulated]]
"""The factors from weights, measured; and what judges factors from data."""


def _outputs(
    spec: LayerSpec,
    kind: Kind,
    weight: NDArray[np.float64],
    bias: Vector | None,
    held_out: Moments,
) -> Judging:
    if spec.bias and bias is None:
        raise LayerError("the layer has a bias, but none was given")
    total = float(np.trace(held_out.covariance if spec.bias else held_out.second))

    def measured(made: Projection, centre: Vector | None) -> Projection:
        return made.measured_by(
            held_out.second if centre is None else held_out.about(centre), total
        )

    plain = kind.factorize(spec, weight, None, None)
    assert isinstance(plain, Projection)
    # Without a shift of the bias a projection is exact where W x = 0, which is y = b.
    return measured(plain, bias), lambda made: measured(made, made.mean)


def _patches(
    spec: LayerSpec,
    kind: Kind,
    weight: NDArray[np.float64],
    bias: Vector | None,
    held_out: Moments,
) -> Judging:
    matrix = weight.reshape(weight.shape[0], -1)
    still = OutputError.of(spec, matrix, held_out, None)

    def measured(made: AlternatingFit) -> AlternatingFit:
        return made.measured_by(OutputError.of(spec, matrix, held_out, made.mean))

    pattern = kind.factorize(spec, weight, held_out, 1.0)
    assert isinstance(pattern, AlternatingFit)
    nested = AlternatingFit(
        matrix, pattern.view, pattern.full, np.eye(matrix.shape[1]), still, None
    )
    return FromWeights(kind.factorize(spec, weight, None, None), still, nested), measured
