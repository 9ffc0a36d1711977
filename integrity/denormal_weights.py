"""Layers many of whose weights are denormal: too near to zero to be kept with full precision.

Processors take up to a hundred times as long for these. Layers are timed with other weights, so a
plan's network is found to be faster or slower than foretold; weights that small are mostly a
channel that training has let die.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import LayerUse

Weights = Callable[[str], tuple[NDArray[Any], NDArray[Any] | None]]
"""A layer's weight and bias by its name, as networks give them."""

SHARE = 1e-3
"""Share of a weight's numbers from which on it is said: fewer cost a tenth of the time at most."""


def denormal_notes(uses: Iterable[LayerUse], weights: Weights) -> dict[str, str]:
    """Return by layer name the remark for its weights, where it needs one."""
    notes = {}
    for use in uses:
        if use.spec is not None:
            share = denormal_share(weights(use.name)[0])
            if share >= SHARE:
                notes[use.name] = (
                    f"{share:.2g} of its weights are denormal (nearly zero), which processors are "
                    "slow at; it is timed with other weights, so set them to zero"
                )
    return notes


def denormal_share(weight: NDArray[np.floating]) -> float:
    """Return the share of numbers that are not zero and smaller than the smallest normal one."""
    sizes = np.abs(weight)
    return float(np.mean((sizes > 0) & (sizes < np.finfo(weight.dtype).tiny)))


def joined(*notes: Mapping[str, str]) -> dict[str, str]:
    """Return several remarks on a layer as one."""
    names = dict.fromkeys(name for one in notes for name in one)
    return {name: "; ".join(one[name] for one in notes if name in one) for name in names}


def as_sentences(notes: Mapping[str, str]) -> tuple[str, ...]:
    """Return the remarks for a plan's reader."""
    return tuple(f"layer {name}: {note}" for name, note in notes.items())
