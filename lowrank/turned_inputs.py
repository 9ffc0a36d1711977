"""Kinds that are fitted to a weight as it is, made from moments of the patches.

Their first link is a 1x1 convolution, so that its input channels are free. A (C_in, C_in), the
moments of the patches averaged over the kernel's positions, says what an error in each channel
costs: the kind is fitted to the weight with its input channels turned by A^1/2, in which all errors
cost alike, and A^-1/2 goes into the first link. That takes the kernel's positions as if they were
not correlated; what is said of the errors is measured on the patches as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from ..errors import LayerError
from ..records import LayerSpec
from .algebra import Matrix, shrunk_metric, symmetric_roots
from .curves import ErrorCurve, curve_of
from .kinds import Arrays, Float64, Started
from .moments import Moments
from .output_error import OutputError, effective_weight
from .shapes import Ranks
from .shrinkage import checked_shrinkage, default_shrinkage


class TurnedInputs:
    """Factors of W A^1/2, handed out as those of W (C_out, n)."""

    def __init__(
        self,
        weight: Matrix,
        made: Started,
        inverse: Matrix,
        output_error: OutputError,
        mean: Float64 | None,
        grid: tuple[Ranks, int],
    ) -> None:
        """`inverse` (C_in, C_in) is A^-1/2; `mean` (n,) is the patches' mean that the bias takes
        up, or None; `grid` are the full ranks, and what every rank is a multiple of."""
        self.weight, self.made, self.inverse = weight, made, inverse
        self.output_error, self.mean, self.grid = output_error, mean, grid

    def measured_on(
        self, spec: LayerSpec, held_out: Moments, _bias: Float64 | None, metric: Float64 | None
    ) -> TurnedInputs:
        """The same factors with their errors on other patches, whose moments `held_out` are."""
        other = copy.copy(self)
        other.output_error = OutputError.of(spec, self.weight, held_out, self.mean, metric)
        return other

    def weights(self, ranks: Ranks) -> Arrays:
        return self._back(self.made.weights(ranks))

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        """`y ~ W'(x - mean) + W mean + b`: all that does not depend on x."""
        if self.mean is None:
            return bias
        result: Float64 = bias + (self.weight - effective_weight(self.weights(ranks))) @ self.mean
        return result

    def error(self, ranks: Ranks) -> float:
        """The lost output of the refined factors."""
        return self.output_error.error(effective_weight(self.weights(ranks)))

    def estimate(self, ranks: Ranks) -> float:
        """The lost output before they are refined."""
        start = self._back(self.made.start_weights(ranks))
        return self.output_error.error(effective_weight(start))

    def error_curve(self) -> ErrorCurve:
        full, step = self.grid
        return curve_of(self.estimate, full, step, costly=True)

    def _back(self, weights: Arrays) -> Arrays:
        first, *others = weights
        return ((first[:, :, 0, 0] @ self.inverse)[:, :, None, None], *others)


def turned_inputs(
    spec: LayerSpec,
    weight: Float64,
    grid: tuple[Ranks, int],
    fit: Callable[[Float64], Started],
    moments: Moments,
    shrinkage: float | None,
) -> TurnedInputs:
    """`fit` of the weight (C_out, C_in, kh, kw) with its input channels turned. The bias takes up
    the patches' mean, as in `alternating`. `grid` as in `TurnedInputs`."""
    matrix, (_, c_in, kh, kw) = weight.reshape(len(weight), -1), weight.shape
    if moments.channels != matrix.shape[1]:
        raise LayerError(f"moments of {moments.channels} values for patches of {matrix.shape[1]}")
    amount = default_shrinkage(moments) if shrinkage is None else checked_shrinkage(shrinkage)
    mean = moments.mean if spec.bias else None
    output_error = OutputError.of(spec, matrix, moments, mean)
    blocks = output_error.energy.metric.reshape(c_in, kh * kw, c_in, kh * kw)
    of_channels = shrunk_metric(np.einsum("apbp->ab", blocks), amount)
    root, inverse = symmetric_roots(of_channels)
    turned = np.einsum("oikl,ij->ojkl", weight, root, optimize=True)
    return TurnedInputs(matrix, fit(turned), inverse, output_error, mean, grid)
