"""Pictures through a network in batches of the size it was made for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..lowrank import OutputMoments

MAX_POSITIONS = 1024
"""Output positions of one picture that moments are taken from. More add little: neighbours
are alike. They are drawn at random, because a grid would see one phase of a Bayer pattern."""

PENDING_PER_CHANNEL = 2
"""Rows for each channel that wait before they are summed up: then adding a matrix to the sums
costs little against making it, and what waits is no larger than the sums."""


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
    """Moments of layers' outputs, batch by batch, in bounded memory."""

    def __init__(self) -> None:
        self._sums: dict[str, OutputMoments] = {}
        self._pending: dict[str, list[NDArray[Any]]] = {}
        self._batch = self._counted = 0

    def start_batch(self, batch: int, counted: int) -> None:
        """What follows belongs to a batch of which the first `counted` pictures count."""
        self._batch, self._counted = batch, counted

    def add(self, name: str, output: NDArray[Any], channel_axis: int) -> None:
        """One layer's output. Pictures that only fill up the batch do not count, save where a
        layer sees the batch folded into another axis."""
        if output.shape[0] == self._batch:
            output = output[: self._counted]
        rows = _rows(output, channel_axis)
        pending = self._pending.setdefault(name, [])
        pending.append(rows)
        if sum(map(len, pending)) >= PENDING_PER_CHANNEL * rows.shape[1]:
            self._sum_up(name)

    def _sum_up(self, name: str) -> None:
        new = OutputMoments.from_outputs(np.concatenate(self._pending.pop(name)))
        known = self._sums.get(name)
        self._sums[name] = new if known is None else known.merge(new)

    def moments(self) -> dict[str, OutputMoments]:
        """By layer name, over all that was added."""
        for name in list(self._pending):
            self._sum_up(name)
        return dict(self._sums)


def _rows(output: NDArray[Any], channel_axis: int) -> NDArray[Any]:
    """A copy as (positions, channels), at most `MAX_POSITIONS` per picture.

    `channel_axis` is 1 (pictures, channels, ...) or -1 (..., channels).
    """
    # Few positions are taken before the axes are turned: turning all of them costs more.
    if channel_axis == 1:
        pictures = output.reshape(*output.shape[:2], -1)
        taken = pictures[:, :, _positions(pictures.shape[2])].transpose(0, 2, 1)
    else:
        pictures = output.reshape(len(output), -1, output.shape[-1])
        taken = pictures[:, _positions(pictures.shape[1])]
    return taken.reshape(-1, taken.shape[-1]).copy()


@cache
def _positions(count: int) -> NDArray[np.intp]:
    """Which of a picture's positions count: always the same ones."""
    chosen = np.random.default_rng(0).permutation(count)[:MAX_POSITIONS]
    return np.sort(chosen)
