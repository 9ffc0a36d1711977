"""How much of an error is left after training, on pictures that nothing has seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

FloatArray = NDArray[np.float32]
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


def error_ratio(
    reference: FloatArray,
    before: FloatArray,
    after: FloatArray,
    pictures: int,
    confidence: float = 0.95,
) -> ErrorRatio:
    """All arrays are (examples, ...), the examples of one picture together, equally many each.

    Whole pictures are drawn, both errors from the same ones (cluster bootstrap), and the
    percentiles are expanded for few pictures (Hesterberg 2015, section 5.3). The interval of a
    single picture is the ratio itself.
    """
    rows = reference.reshape(pictures, -1).astype(np.float64)
    whole = np.square(rows).sum(axis=1)
    lost = [
        np.square(np.asarray(one, np.float64).reshape(pictures, -1) - rows).sum(axis=1)
        for one in (before, after)
    ]
    errors = [math.sqrt(float(one.sum() / max(whole.sum(), TINY))) for one in lost]
    ratio = errors[1] / max(errors[0], TINY)
    drawn = np.random.default_rng(0).integers(pictures, size=(DRAWS, pictures))
    ratios = np.sqrt(lost[1][drawn].sum(axis=1) / np.maximum(lost[0][drawn].sum(axis=1), TINY))
    tail = _tail(pictures, (1 - confidence) / 2)
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return ErrorRatio(errors[0], errors[1], ratio, float(min(low, ratio)), float(max(high, ratio)))


def _tail(pictures: int, tail: float) -> float:
    if pictures < 2:
        return tail
    wider = math.sqrt(pictures / (pictures - 1)) * stdtrit(pictures - 1, tail)
    return float(ndtr(wider))
