"""The mathematics: what a layer becomes under a decomposition, with which weights, at what loss."""

from __future__ import annotations

from .catalog import KINDS, find_kind
from .factorizer import (
    Factorizer,
    applicable_kinds,
    error_curve,
    factor,
    factorizer,
    full_ranks,
    layer_error,
    lower,
    rank_step,
)
from .kinds import Factorization, Kind
from .moments import OutputMoments, default_shrinkage

__all__ = [
    "KINDS",
    "Factorization",
    "Factorizer",
    "Kind",
    "OutputMoments",
    "applicable_kinds",
    "default_shrinkage",
    "error_curve",
    "factor",
    "factorizer",
    "find_kind",
    "full_ranks",
    "layer_error",
    "lower",
    "rank_step",
]
