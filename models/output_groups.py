"""Parts of one output that are different things: channels of very different sizes.

Exporters concatenate what a detector finds: boxes in pixels beside scores between 0 and 1. The
relative error of all together is that of the largest, whatever becomes of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

APART = 10.0
"""Groups of channels whose sizes differ by more than this factor are different things."""
MIN_NUMBERS = 8
"""Numbers that the size of a channel is taken from, at least: few say little."""
ROUNDING = 1e-6
"""Channels below this share of the largest are rounding, and belong to what is beside them."""


def size_groups(output: NDArray[Any]) -> list[str]:
    """Return the selections of an output (n, ...) whose sizes are more than `APART` apart.

    A group is a range of channels, each of which is that much larger or smaller than any channel
    of another group. Channels are on axis 1, or on the last of three axes, whichever can be told
    apart. Empty where there is one group only.
    """
    for axis in (1, 2) if output.ndim == 3 else (1,):
        if output.ndim > 1 and output.size >= MIN_NUMBERS * output.shape[axis]:
            others = tuple(one for one in range(output.ndim) if one != axis)
            sizes = np.sqrt(np.mean(np.square(output, dtype=np.float64), axis=others))
            ranges = list(_ranges(_without_rounding(sizes), 0))
            if len(ranges) > 1:
                return [_selection(axis, *one, len(sizes)) for one in ranges]
    return []


def _without_rounding(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sizes with those that are rounding in the place of the nearest that is not."""
    known = np.flatnonzero(sizes > ROUNDING * sizes.max())
    if not len(known):
        return sizes
    nearest = np.abs(np.arange(len(sizes))[:, None] - known).argmin(axis=1)
    return np.asarray(sizes[known[nearest]])


def _ranges(sizes: NDArray[np.float64], start: int) -> Iterator[tuple[int, int]]:
    """Cut the channels wherever all before are larger, or all smaller, than all behind."""
    rising, falling = np.maximum.accumulate(sizes), np.minimum.accumulate(sizes)
    least, most = (one.accumulate(sizes[::-1])[::-1] for one in (np.minimum, np.maximum))
    apart = (least[1:] > APART * rising[:-1]) | (falling[:-1] > APART * most[1:])
    cuts = np.flatnonzero(apart) + 1
    if not len(cuts):
        yield start, start + len(sizes)
        return
    for begin, end in pairwise([0, *cuts.tolist(), len(sizes)]):
        yield from _ranges(sizes[begin:end], start + begin)


def _selection(axis: int, begin: int, end: int, count: int) -> str:
    bounds = f"{begin or ''}:{end if end < count else ''}"
    whole = ":," * axis
    return f"[{whole}{bounds}]"
