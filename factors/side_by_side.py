"""Factors of several layers made side by side, one layer a processor, as far as memory allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..lowrank import Factorizer, vector_size
from ..models.workers import in_order, processors
from ..records import LayerSpec

Given = TypeVar("Given")
Result = TypeVar("Result")

LARGE = 2304
"""Values that a kernel sees (256 channels, 3x3) above which layers are taken apart one after the
other: each holds four square matrices of that size, and its eigenvectors as many again."""


class LastTakenApart(threading.local):
    """The layer that each thread took apart last: more of them would not fit into memory."""

    key: tuple[object, ...] | None = None
    """What it was taken apart for: its name, kind and branches, and what else is asked for."""
    factorizer: Factorizer | None = None

    def get(self, key: tuple[object, ...], take_apart: Callable[[], Factorizer]) -> Factorizer:
        """That layer, if it is the last one; else taken apart now."""
        if self.key != key or self.factorizer is None:
            self.key = self.factorizer = None  # its memory first
            self.factorizer = take_apart()
            self.key = key
        return self.factorizer


def side_by_side(
    work: Callable[[Given], Result], items: Sequence[Given], specs: Iterable[LayerSpec]
) -> list[Result]:
    """What `work` makes of each item, in their order; `specs` are those of the items' layers.

    Those of large layers are made first, so that none is left over when others are done.
    """
    sizes = [vector_size(spec, "patches") for spec in specs]
    workers = min(processors(), len(items)) if max(sizes, default=0) <= LARGE else 1
    if workers <= 1:
        return list(map(work, items))
    order = sorted(range(len(items)), key=lambda place: -sizes[place])
    made = dict(zip(order, in_order(work, [items[place] for place in order], workers), strict=True))
    return [made[place] for place in range(len(items))]
