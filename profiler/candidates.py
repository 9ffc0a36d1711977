"""What is worth measuring without knowing the weights: a few ranks of each kind.

Ranks lie on multiples of the rank quantum, keep the aspect of the full ranks (for Tucker
pairs), and need fewer multiply-accumulates than the original: a chain that computes more has
not been seen to be faster.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from ..lowrank import KINDS, applicable_kinds, full_ranks, lower, rank_step
from ..records import Decomposition, LayerSpec

LOWEST, HIGHEST = 0.15, 0.9
"""Ranks between these shares of the break-even rank: below, too little of the layer is left;
above, there is nothing to gain."""


def default_candidates(
    spec: LayerSpec, kinds: Sequence[str] | None, quantum: int, max_per_kind: int = 8
) -> list[Decomposition]:
    """Decompositions of the layer to measure, by kind, each by rising rank.

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


def dropped(spec: LayerSpec, kinds: Sequence[str] | None, quantum: int) -> dict[str, str]:
    """Why kinds that apply to this layer give no candidate, in one phrase each."""
    found = {kind: _why_none(spec, kind, quantum) for kind in _kinds(spec, kinds)}
    return {kind: reason for kind, reason in found.items() if reason}


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
    """The least multiple of the quantum that is a possible rank."""
    return math.lcm(quantum, rank_step(spec, kind, groups))


def _grid(spec: LayerSpec, kind: str, groups: int, quantum: int) -> list[tuple[int, ...]]:
    """All ranks on the grid that save multiply-accumulates, without the extremes."""
    full, unit = full_ranks(spec, kind, groups), _unit(spec, kind, groups, quantum)
    smallest = min(full)

    def ranks(step: int) -> tuple[int, ...]:
        return _on_grid(full, step * unit, smallest, unit)

    def too_much(step: int) -> bool:
        return lower(spec, Decomposition(kind, ranks(step), groups)).macs >= spec.macs

    steps = range(1, smallest // unit + 1)
    below = steps[: bisect_left(steps, True, key=too_much)]
    if not below:
        return []
    # the first step that saves nothing stands for the break-even rank, which lies before it
    inner = [step for step in below if LOWEST <= step / (below[-1] + 1) <= HIGHEST]
    return [ranks(step) for step in inner or below]


def _on_grid(full: tuple[int, ...], rank: int, smallest: int, quantum: int) -> tuple[int, ...]:
    """`rank` for the smallest full rank and, for the others, the multiples of the quantum that
    come nearest to the same share."""
    return tuple(
        min(max(round(rank * limit / smallest / quantum), 1), limit // quantum) * quantum
        for limit in full
    )


def _spread(grid: list[tuple[int, ...]], most: int) -> list[tuple[int, ...]]:
    """At most `most`, evenly over the grid, both ends included."""
    if len(grid) <= most:
        return grid
    if most < 2:
        return grid[:most]
    return [grid[round(i * (len(grid) - 1) / (most - 1))] for i in range(most)]
