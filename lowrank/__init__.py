"""The mathematics: what a layer becomes under a decomposition, with which weights, at what loss."""

from __future__ import annotations

from .builtin_kinds import KINDS, find_kind
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
    rank_step,
    vector_size,
)
from .kinds import Factorization, Kind
from .moments import Moments, OutputMoments, PatchMoments, Source, default_shrinkage

__all__ = [
    "KINDS",
    "ErrorCurve",
    "Factorization",
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
    "find_kind",
    "full_ranks",
    "layer_error",
    "lower",
    "moments_wanted",
    "rank_step",
    "vector_size",
]
