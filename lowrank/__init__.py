"""The mathematics: what a layer becomes under a decomposition, with which weights, at what loss."""

from __future__ import annotations

from .curves import ErrorCurve
from .factorizer import (
    Factorizer,
    applicable_kinds,
    factor,
    factorizer,
    full_ranks,
    layer_error,
    lower,
    moments_wanted,
    rank_step,
)
from .kinds import Factorization, Kind
from .moments import Moments, Source, vector_size
from .registry import KINDS, find_kind
from .shrinkage import WEIGHTS_ALONE, Shrinkage, default_shrinkage

__all__ = [
    "KINDS",
    "WEIGHTS_ALONE",
    "ErrorCurve",
    "Factorization",
    "Factorizer",
    "Kind",
    "Moments",
    "Shrinkage",
    "Source",
    "applicable_kinds",
    "default_shrinkage",
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
