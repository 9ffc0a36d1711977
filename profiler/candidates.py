"""Candidates worth measuring when the weights are not known: a few ranks of each kind.

Ranks lie on multiples of the rank quantum, keep the aspect of the full ranks (for Tucker
pairs), and need fewer multiply-accumulates than the original: a chain that computes more has
not been seen to be faster.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..lowrank import KINDS, applicable_kinds, full_ranks, lower, rank_step
from ..records import ORIGINAL, Decomposition, LayerSpec

FLOAT = "float32"
"""What a layer stays in among others in int8."""
FLOAT_SHARE = 0.5
"""Of the layer's multiply-accumulates: kernels for int8 are about twice as fast at the least."""
LOWEST, HIGHEST = 0.15, 0.9
"""Candidates' ranks lie between these shares of the break-even rank: below, too little of the
layer is left; above, there is nothing to gain."""


def default_candidates(
    spec: LayerSpec, kinds: Sequence[str] | None, quantum: int, max_per_kind: int = 8
) -> list[Decomposition]:
    """Return the decompositions of the layer to measure, by kind, each by rising rank.

    `kinds` None means all that apply and are measured without being asked for
    (`Kind.by_default`). A kind that does not apply, or has no rank on the quantum's grid, gives
    none: `dropped` says why. A branched kind gives as many for each number of branches.
    """
    return [
        Decomposition(kind, ranks, groups)
        for kind in _kinds(spec, kinds)
        for groups in KINDS[kind].branchings
        for ranks in _spread(_grid(spec, kind, groups, quantum), max_per_kind)
    ]


def in_precisions(
    spec: LayerSpec, candidates: Sequence[Decomposition], dtype: str
) -> list[Decomposition]:
    """Return the candidates in the dtype that is measured. Among layers in int8 the layer itself
    may also stay in float32, and so may candidates that could still be faster then."""
    if dtype != "int8":
        return list(candidates)
    small = [d for d in candidates if lower(spec, d).macs <= FLOAT_SHARE * spec.macs]
    return [*candidates, *(replace(one, precision=FLOAT) for one in (ORIGINAL, *small))]


def dropped(spec: LayerSpec, kinds: Sequence[str] | None, quantum: int) -> dict[str, str]:
    """Return why kinds that apply to this layer give no candidate, in one phrase each."""
    reasons = {kind: _why_none(spec, kind, quantum) for kind in _kinds(spec, kinds)}
    return {kind: reason for kind, reason in reasons.items() if reason}


def _kinds(spec: LayerSpec, kinds: Sequence[str] | None) -> list[str]:
    applicable, _ = applicable_kinds(spec)
    return [k for k in applicable if (KINDS[k].by_default if kinds is None else k in kinds)]


def _why_none(spec: LayerSpec, kind: str, quantum: int) -> str:
    if any(_grid(spec, kind, groups, quantum) for groups in KINDS[kind].branchings):
        return ""
    groups = KINDS[kind].branchings[0]
    smallest, unit = min(full_ranks(spec, kind, groups)), _unit(spec, kind, groups, quantum)
    if smallest < unit:
        return f"full rank {smallest} is below the rank quantum {unit}"
    return f"no multiple of {unit} saves multiply-accumulates"


def _unit(spec: LayerSpec, kind: str, groups: int, quantum: int) -> int:
    """Return the least multiple of the quantum that is a possible rank."""
    return math.lcm(quantum, rank_step(spec, kind, groups))


def _grid(spec: LayerSpec, kind: str, groups: int, quantum: int) -> list[tuple[int, ...]]:
    """Return all ranks on the grid that save multiply-accumulates, without the extremes."""
    full, unit = full_ranks(spec, kind, groups), _unit(spec, kind, groups, quantum)
    smallest = min(full)

    def ranks(step: int) -> tuple[int, ...]:
        return _on_grid(full, step * unit, smallest, unit)

    count = saving_steps(spec, kind, groups, ranks, smallest // unit)
    # the first step that saves nothing stands for the break-even rank, which lies before it
    inner = [s for s in range(1, count + 1) if LOWEST <= s / (count + 1) <= HIGHEST]
    return [ranks(step) for step in inner or range(1, count + 1)]


def saving_steps(
    spec: LayerSpec, kind: str, groups: int, ranks: Callable[[int], tuple[int, ...]], most: int
) -> int:
    """Return how many of the steps 1 to `most`, each with its rising `ranks`, save
    multiply-accumulates."""

    def too_much(step: int) -> bool:
        return lower(spec, Decomposition(kind, ranks(step), groups)).macs >= spec.macs

    return bisect_left(range(1, most + 1), True, key=too_much)


def _on_grid(full: tuple[int, ...], rank: int, smallest: int, quantum: int) -> tuple[int, ...]:
    """Return `rank` for the smallest full rank and, for the others, the multiples of the quantum
    that come nearest to the same share."""
    return tuple(
        min(max(round(rank * limit / smallest / quantum), 1), limit // quantum) * quantum
        for limit in full
    )


def _spread(grid: list[tuple[int, ...]], most: int) -> list[tuple[int, ...]]:
    """Return at most `most` ranks, evenly over the grid, both ends included."""
    if len(grid) <= most:
        return grid
    if most < 2:
        return grid[:most]
    return [grid[round(i * (len(grid) - 1) / (most - 1))] for i in range(most)]
