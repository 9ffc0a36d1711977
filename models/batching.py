"""Pictures through a network in batches of the size it was made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError


def batches(inputs: NDArray[Any], size: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield slices of exactly `size` pictures, and how many of them count.

    The last slice is filled up with its last picture, because a network's batch may be fixed.
    Raises `ModelError` if there is no picture.
    """
    if not len(inputs):
        raise ModelError("there are no inputs to run the network on")
    for start in range(0, len(inputs), size):
        part = np.ascontiguousarray(inputs[start : start + size], dtype=np.float32)
        missing = size - len(part)
        filled = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
        yield filled, len(part)


def outputs_of(
    run: Callable[[NDArray[np.float32]], NDArray[Any]], inputs: NDArray[Any], size: int
) -> NDArray[np.float32]:
    """Return what `run` makes of all inputs, (n, ...), `size` pictures at a time."""
    parts = [by_picture(run(part), size, counted) for part, counted in batches(inputs, size)]
    return np.concatenate(parts)


def by_picture(output: NDArray[Any], batch: int, counted: int) -> NDArray[np.float32]:
    """Return the output of one batch, pictures first, without those that only filled it up."""
    if batch == 1 and (output.ndim == 0 or output.shape[0] != 1):
        output = output[None]
    if output.shape[0] != batch:
        raise ModelError(
            f"the network's output {output.shape} does not have its batch ({batch}) first"
        )
    return np.asarray(output[:counted], dtype=np.float32)
