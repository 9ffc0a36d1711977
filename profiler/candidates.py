"""What is worth measuring without knowing the weights: a few ranks of each kind.

Ranks lie on multiples of the rank quantum, keep the aspect of the full ranks (for Tucker
pairs), and need fewer multiply-accumulates than the original: a chain that computes more has
not been seen to be faster.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from ..lowrank import applicable_kinds, full_ranks, lower
from ..records import Decomposition, LayerSpec

LOWEST, HIGHEST = 0.15, 0.9
"""Ranks between these shares of the break-even rank: below, too little of the layer is left;
above, there is nothing to gain."""


def default_candidates(
    spec: LayerSpec, kinds: Sequence[str] | None, quantum: int, max_per_kind: int = 8
) -> list[Decomposition]:
    """Decompositions of the layer to measure, by kind, each by rising rank.

    `kinds` None means all that apply. A kind that does not apply, or has no rank on the
    quantum's grid, gives none: `dropped` says why.
    """
    return [
        Decomposition(kind, ranks)
        for kind in _kinds(spec, kinds)
        for ranks in _spread(_grid(spec, kind, quantum), max_per_kind)
    ]


def dropped(spec: LayerSpec, kinds: Sequence[str] | None, quantum: int) -> dict[str, str]:
    """Why kinds that apply to this layer give no candidate, in one phrase each."""
    found = {kind: _why_none(spec, kind, quantum) for kind in _kinds(spec, kinds)}
    return {kind: reason for kind, reason in found.items() if reason}


def _kinds(spec: LayerSpec, kinds: Sequence[str] | None) -> list[str]:
    applicable, _ = applicable_kinds(spec)
    return [kind for kind in applicable if kind != "original" and (kinds is None or kind in kinds)]


def _why_none(spec: LayerSpec, kind: str, quantum: int) -> str:
    smallest = min(full_ranks(spec, kind))
    if smallest < quantum:
        return f"full rank {smallest} is below the rank quantum {quantum}"
    if not _grid(spec, kind, quantum):
        return f"no multiple of {quantum} saves multiply-accumulates"
    return ""


def _grid(spec: LayerSpec, kind: str, quantum: int) -> list[tuple[int, ...]]:
    """All ranks on the grid that save multiply-accumulates, without the extremes."""
    smallest = min(full_ranks(spec, kind))

    def ranks(step: int) -> tuple[int, ...]:
        return _on_grid(full_ranks(spec, kind), step * quantum, smallest, quantum)

    def too_much(step: int) -> bool:
        return lower(spec, Decomposition(kind, ranks(step))).macs >= spec.macs

    steps = range(1, smallest // quantum + 1)
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
