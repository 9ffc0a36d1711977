"""A network's latency from its layers' savings, and how far such predictions are off.

Savings of layers measured alone do not simply add up: they are nearly always optimistic in
the same direction, so one factor, fitted on whole-network runs, takes most of it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, isfinite, sqrt
from statistics import NormalDist, median

PRIOR_SCALE = 0.95
PRIOR_SCALE_SE = 0.10
"""What is believed about the factor before any whole network was measured."""
PRIOR_SPREAD = 0.05
"""Relative scatter of a network's saving about the scaled sum, believed as two runs' worth."""
PRIOR_SPREAD_RUNS = 2
FLOOR = 0.01
"""Smallest relative standard error of a predicted latency: what no sum of layers knows."""
LEAST_SHARE = 0.01
"""A predicted latency is at least this share of the original's: savings cannot exceed it."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of a whole network, in seconds; the interval is of the speedup."""

    latency_s: float
    speedup: float
    speedup_low: float
    speedup_high: float


@dataclass(frozen=True, slots=True)
class ScaleFit:
    """The factor on summed savings. `error` is the median relative error on runs that were
    left out of the fit one at a time (None for fewer than two runs)."""

    scale: float
    se: float
    error: float | None
    runs: int


def predict(
    original_s: float,
    savings: Sequence[float],
    ses: Sequence[float],
    scale: float = 1.0,
    scale_se: float = 0.0,
    *,
    floor: float = FLOOR,
    confidence: float = 0.95,
) -> Prediction:
    """The network's original latency minus `scale` times the sum of its layers' savings.

    `ses` are the standard errors of `savings`, taken as independent, `floor` the relative
    standard error of the latency that stays even where all else is known exactly (give the
    fit's `error` where there is one).
    """
    if not original_s > 0:
        raise ValueError("original_s has to be positive")
    total = sum(savings)
    least = LEAST_SHARE * original_s
    latency = max(original_s - scale * total, least)
    spread = hypot(scale * hypot(*ses), scale_se * total, floor * latency)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * spread
    return Prediction(
        latency_s=latency,
        speedup=original_s / latency,
        speedup_low=original_s / (latency + reach),
        speedup_high=original_s / max(latency - reach, least),
    )


def fit_scale(pairs: Sequence[tuple[float, float]], original_s: float | None = None) -> ScaleFit:
    """The factor from runs of whole networks: (sum of layers' savings, measured saving), in
    seconds.

    Least squares through the origin, weighted by 1 / sum, since independent errors of layers
    add their variances up as the layers add their savings; joined with the prior by
    precisions. `error` is relative to the measured latency where the network's `original_s`
    is given, else to the measured saving. Pairs with a sum of zero or less say nothing.
    """
    usable = [(x, y) for x, y in pairs if x > 0 and isfinite(x) and isfinite(y)]
    scale, se = _posterior(usable)
    errors = []
    for i, (x, y) in enumerate(usable):
        others, _ = _posterior(usable[:i] + usable[i + 1 :])
        whole = y if original_s is None else original_s - y
        if whole:
            errors.append(abs((others * x - y) / whole))
    error = median(errors) if len(usable) > 1 and errors else None
    return ScaleFit(scale, se, error, len(usable))


def _posterior(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(factor, its standard error), given variance proportional to the sum of savings."""
    if not pairs:
        return PRIOR_SCALE, PRIOR_SCALE_SE
    total = sum(x for x, _ in pairs)
    slope = sum(y for _, y in pairs) / total
    residuals = sum((y - slope * x) ** 2 / x for x, y in pairs)
    believed = PRIOR_SPREAD_RUNS * PRIOR_SPREAD**2 * total / len(pairs)
    variance = (believed + residuals) / (PRIOR_SPREAD_RUNS + len(pairs) - 1)
    data, prior = total / variance, PRIOR_SCALE_SE**-2
    return (data * slope + prior * PRIOR_SCALE) / (data + prior), 1 / sqrt(data + prior)
