"""Pictures through a network in batches of the size it was made for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..lowrank import OutputMoments

MAX_POSITIONS = 4096
"""Output positions of one picture that moments are taken from. More add little: neighbours
are alike. They are drawn at random, because a grid would see one phase of a Bayer pattern."""


def batches(inputs: NDArray[Any], size: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Slices of exactly `size` pictures, and how many of them count.

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


def by_picture(output: NDArray[Any], batch: int, counted: int) -> NDArray[np.float32]:
    """The output of one batch with pictures first, without those that only filled it up."""
    if batch == 1 and (output.ndim == 0 or output.shape[0] != 1):
        output = output[None]
    if output.shape[0] != batch:
        raise ModelError(
            f"the network's output {output.shape} does not have its batch ({batch}) first"
        )
    return np.asarray(output[:counted], dtype=np.float32)


class MomentSums:
    """Moments of layers' outputs, batch by batch; no output is kept."""

    def __init__(self) -> None:
        self.moments: dict[str, OutputMoments] = {}
        self._batch = self._counted = 0

    def start_batch(self, batch: int, counted: int) -> None:
        """What follows belongs to a batch of which the first `counted` pictures count."""
        self._batch, self._counted = batch, counted

    def add(self, name: str, output: NDArray[Any], channel_axis: int) -> None:
        """One layer's output. Pictures that only fill up the batch do not count, save where a
        layer sees the batch folded into another axis."""
        if output.shape[0] == self._batch:
            output = output[: self._counted]
        new = OutputMoments.from_outputs(_rows(output, channel_axis))
        known = self.moments.get(name)
        self.moments[name] = new if known is None else known.merge(new)


def _rows(output: NDArray[Any], channel_axis: int) -> NDArray[Any]:
    """As (positions, channels), at most `MAX_POSITIONS` per picture, always the same ones."""
    moved = np.moveaxis(output, channel_axis, -1)
    pictures = moved.reshape(len(moved), -1, moved.shape[-1])
    positions = pictures.shape[1]
    if positions > MAX_POSITIONS:
        chosen = np.random.default_rng(0).permutation(positions)[:MAX_POSITIONS]
        pictures = pictures[:, np.sort(chosen)]
    return pictures.reshape(-1, pictures.shape[-1])
