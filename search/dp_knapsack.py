"""The knapsack's last few undecided groups by dynamic programming: what HiGHS takes long to prove.

Networks repeat their layers, so that many items have the same value and nearly the same weight.
Branching goes round in circles there; a table of (value, weight) after each group does not, as
plans of equal value fall together and only the lightest is kept (Bellman; Kellerer, Pferschy and
Pisinger 2004, chapter 11). Values nearer to each other than a share of the gap fall together, too,
and what cannot beat the best known solution by the Lagrangian bound is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

MAX_STATES = 2_000_000
"""States that all groups may make, before those that fall together do; beyond, HiGHS is asked."""


@dataclass(frozen=True)
class DpTable:
    """Items that are left, flat and grouped (`starts`), with one limit on the weight. `price` is
    what a unit of weight is worth (the multiplier), `reach` how much of the Lagrangian bound a
    solution may miss, `error` what may be lost of the value in all."""

    values: Floats
    weights: Floats
    starts: Ints
    ceiling: float
    price: float
    reach: float
    error: float


def solve(table: DpTable) -> Ints | None:
    """One item of each group, at most `error` less valuable than the best that misses no more
    than `reach`; empty where none fits, None where the states are too many."""
    groups = [slice(*ends) for ends in pairwise((*table.starts, len(table.values)))]
    lightest = np.array([table.weights[group].min() for group in groups])
    later = np.append(np.cumsum(lightest[::-1])[::-1], 0.0)
    cell = table.error / len(groups)
    states, parents = (np.zeros(1), np.zeros(1), np.zeros(1)), []
    made = 0
    for number, group in enumerate(groups):
        made += len(states[0]) * (group.stop - group.start)
        if made > MAX_STATES:
            return None
        states, origin = _with_group(table, states, group, table.ceiling - later[number + 1], cell)
        parents.append(origin)
    if not len(states[0]):
        return np.empty(0, dtype=np.intp)
    return _path(int(np.argmax(states[0])), parents, table.starts, groups)


States = tuple[Floats, Floats, Floats]
"""Values, weights, and how much of the Lagrangian bound each misses."""


def _with_group(
    table: DpTable, states: States, group: slice, room: float, cell: float
) -> tuple[States, Ints]:
    """All states with one more item, and for each the number state * items + item that made it."""
    values, weights = table.values[group], table.weights[group]
    reduced = values - table.price * weights
    value, weight, missed = (
        np.add.outer(old, new).ravel()
        for old, new in zip(states, (values, weights, reduced.max() - reduced), strict=True)
    )
    alive = np.flatnonzero((weight <= room) & (missed <= table.reach + table.error))
    rounded = np.floor(value[alive] / cell) if cell > 0 else value[alive]
    order = np.lexsort((-value[alive], -rounded, weight[alive]))
    best_before = np.maximum.accumulate(np.append(-np.inf, rounded[order]))[:-1]
    kept = alive[order[rounded[order] > best_before]]
    return (value[kept], weight[kept], missed[kept]), kept


def _path(last: int, parents: list[Ints], starts: Ints, groups: list[slice]) -> Ints:
    picks, state = np.empty(len(groups), dtype=np.intp), last
    for number in reversed(range(len(groups))):
        items = groups[number].stop - groups[number].start
        state, item = divmod(int(parents[number][state]), items)
        picks[number] = starts[number] + item
    return picks
