"""One decomposition for a layer by a rule, without measuring anything: the classic way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..errors import LayerError
from ..records import ORIGINAL, Decomposition, LayerSpec
from .factorizer import full_ranks, lower, rank_step
from .moments import Moments
from .ranks import Rounding, energy_ranks, pr_rank, quantize, vbmf_ranks
from .registry import find_kind
from .shapes import Ranks

RULES = ("vbmf", "pr", "energy", "fixed")
USUAL_KINDS = ("svd", "tucker2")
"""What the literature takes: SVD for 1x1 and linear layers, Tucker-2 for larger kernels."""


@dataclass(frozen=True, slots=True)
class RankRule:
    """A rule of `RULES` with its parameters; those of the other rules are not looked at.

    `ratio` is PR's x (parameters become params / x), `weakening` VBMF's k, `threshold` the
    share of energy that is kept, `rank` the fixed one. Ranks are then brought to a multiple of
    `quantum`. Raises `LayerError` for a parameter that makes no sense.
    """

    name: str
    ratio: float = 2.0
    weakening: float = 0.8
    min_rank: int = 21
    threshold: float = 0.9
    rank: int = 0
    quantum: int = 1
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise LayerError(f"unknown rank rule {self.name!r}; known are {', '.join(RULES)}")
        if not (math.isfinite(self.ratio) and self.ratio > 0):
            raise LayerError(f"a parameter reduction must be a positive number, not {self.ratio}")
        if not 0 <= self.weakening <= 1:
            raise LayerError(f"a weakening factor must be between 0 and 1, not {self.weakening}")
        if not 0 < self.threshold <= 1:
            raise LayerError(
                f"an energy threshold must be above 0 and at most 1, not {self.threshold}"
            )
        if self.name == "fixed" and self.rank < 1:
            raise LayerError(f"a fixed rank must be at least 1, not {self.rank}")
        quantize(1, self.quantum, self.quantum, self.rounding)


@dataclass(frozen=True, slots=True)
class RankChoice:
    """What a rule makes of a layer; the original, where `reason` says why nothing else."""

    decomposition: Decomposition = ORIGINAL
    reason: str = ""


def choose(
    spec: LayerSpec,
    weight: NDArray[Any],
    rule: RankRule,
    kinds: Sequence[str] = USUAL_KINDS,
    moments: Moments | None = None,
    groups: int | None = None,
) -> RankChoice:
    """The rule's ranks for the first of `kinds` that applies to the layer, in `groups` branches
    (the fewest that are worth it, unless told).

    The layer stays as it is where none applies, where full rank is below the quantum or the
    fixed rank, and where the chain would compute as much as the layer. Raises `LayerError` for
    an unknown kind.
    """
    reasons = {name: find_kind(name).applies(spec) for name in kinds}
    fitting = next((name for name, reason in reasons.items() if not reason), None)
    if fitting is None:
        return RankChoice(reason="; ".join(dict.fromkeys(reasons.values())))
    if groups is None:
        groups = find_kind(fitting).branchings[0]
    wanted = _wanted(spec, fitting, weight, rule, moments, groups)
    return _checked(spec, Decomposition(fitting, wanted, groups), rule)


def _wanted(
    spec: LayerSpec,
    kind: str,
    weight: NDArray[Any],
    rule: RankRule,
    moments: Moments | None,
    groups: int,
) -> Ranks:
    match rule.name:
        case "pr":
            return pr_rank(spec, kind, rule.ratio, groups=groups)
        case "vbmf":
            return vbmf_ranks(spec, kind, weight, rule.weakening, rule.min_rank, groups)
        case "energy":
            return energy_ranks(spec, kind, weight, rule.threshold, moments, groups)
    return tuple(rule.rank for _ in full_ranks(spec, kind, groups))


def _checked(spec: LayerSpec, wanted: Decomposition, rule: RankRule) -> RankChoice:
    full = full_ranks(spec, wanted.kind, wanted.groups)
    quantum = math.lcm(rule.quantum, rank_step(spec, wanted.kind, wanted.groups))
    if min(full) < quantum:
        return RankChoice(reason=f"full rank {min(full)} is below the rank quantum {quantum}")
    if rule.name == "fixed" and rule.rank > min(full):
        return RankChoice(reason=f"rank {rule.rank} is above the full rank {min(full)}")
    ranks = tuple(
        quantize(rank, quantum, limit, rule.rounding) or quantum
        for rank, limit in zip(wanted.ranks, full, strict=True)
    )
    made = Decomposition(wanted.kind, ranks, wanted.groups)
    if lower(spec, made).macs >= spec.macs:
        return RankChoice(reason=f"{made} saves no multiply-accumulates")
    return RankChoice(made)
