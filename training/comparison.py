"""How much of an error is left after training, on pictures that nothing has seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from ..models.network_error import NetworkError

FloatArray64 = NDArray[np.float64]
DRAWS = 4000
TINY = 1e-30


@dataclass(frozen=True, slots=True)
class ErrorRatio:
    """Relative errors before and after, and after / before with its interval."""

    before: float
    after: float
    ratio: float
    low: float
    high: float


def error_ratio(before: NetworkError, after: NetworkError, confidence: float = 0.95) -> ErrorRatio:
    """Return the errors of the same pictures and their ratio.

    Whole pictures are drawn, both errors from the same ones (cluster bootstrap), and the
    percentiles are expanded for few pictures (Hesterberg 2015, section 5.3). The interval of a
    single picture is the ratio itself.
    """
    ratio, low, high = ratio_of(before.contributions, after.contributions, confidence)
    return ErrorRatio(before.value, after.value, ratio, low, high)


def ratio_of(
    before: FloatArray64, after: FloatArray64, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the ratio of the errors and its interval (low, high), from the pictures'
    contributions to the squared errors."""
    if not np.isfinite(after).all():
        return math.inf, math.inf, math.inf
    ratio = math.sqrt(float(after.sum() / max(before.sum(), TINY)))
    count = len(before)
    drawn = np.random.default_rng(0).integers(count, size=(DRAWS, count))
    ratios = np.sqrt(after[drawn].sum(axis=1) / np.maximum(before[drawn].sum(axis=1), TINY))
    tail = _tail(count, (1 - confidence) / 2)
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return ratio, float(min(low, ratio)), float(max(high, ratio))


def _tail(pictures: int, tail: float) -> float:
    if pictures < 2:
        return tail
    wider = math.sqrt(pictures / (pictures - 1)) * stdtrit(pictures - 1, tail)
    return float(ndtr(wider))
