"""The mathematics: what a layer becomes under a decomposition, with which weights, at what loss."""

from __future__ import annotations

from .curves import ErrorCurve
from .factorizer import (
    Factorizer,
    applicable_kinds,
    error_curve,
    factor,
    factorizer,
    full_ranks,
    layer_error,
    lower,
    moments_wanted,
    vector_size,
)
from .kinds import KINDS, Kind
from .moments import Moments, OutputMoments, PatchMoments, Source, default_shrinkage

__all__ = [
    "KINDS",
    "ErrorCurve",
    "Factorizer",
    "Kind",
    "Moments",
    "OutputMoments",
    "PatchMoments",
    "Source",
    "applicable_kinds",
    "default_shrinkage",
    "error_curve",
    "factor",
    "factorizer",
    "full_ranks",
    "layer_error",
    "lower",
    "moments_wanted",
    "vector_size",
]
