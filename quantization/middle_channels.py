"""What channels between two products hold on pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from ..inputs.examples import Given
from ..models.batching import results
from ..models.onnx_session import TensorSession
from .balancing import Floats, channel_factors
from .products import Middle


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRanges:
    """Least and largest value of each channel, (channels,)."""

    least: Floats
    largest: Floats

    def factors(self, power: float) -> NDArray[np.float64]:
        """What balancing divides each channel by."""
        return channel_factors(np.maximum(-self.least, self.largest), power)

    def together(self, factors: Floats) -> tuple[float, float]:
        """Least and largest value of the whole tensor after channels were divided."""
        return float((self.least / factors).min()), float((self.largest / factors).max())


def seen(
    model: ModelProto, tensors: list[Middle], inputs: Given, batch: int
) -> Mapping[str, ChannelRanges]:
    """Run the float network over examples. Returns what the channels of each tensor have held, by
    the tensor's name."""
    if not tensors:
        return {}
    session = TensorSession(model, [middle.tensor for middle in tensors])
    parts: dict[str, list[tuple[Any, Any]]] = {middle.tensor: [] for middle in tensors}
    for arrays, counted in results(session.run, inputs, batch):
        for middle, array in zip(tensors, arrays, strict=True):
            parts[middle.tensor].append(_ends(_rows(middle, array), counted, batch))
    return {tensor: _joined(found) for tensor, found in parts.items()}


def _rows(middle: Middle, array: NDArray[Any]) -> Floats:
    """As (positions, channels): channels are on axis 1 of a convolution's, on the last of a
    matrix's tensor."""
    moved = np.moveaxis(array, 1, -1) if middle.second.op_type == "Conv" else array
    return moved.reshape(-1, moved.shape[-1])


def _ends(rows: Floats, counted: int, batch: int) -> tuple[Any, Any]:
    if len(rows) % batch == 0:  # what only filled up the batch does not count
        rows = rows[: len(rows) // batch * counted]
    return rows.min(axis=0), rows.max(axis=0)


def _joined(parts: list[tuple[Any, Any]]) -> ChannelRanges:
    least, largest = zip(*parts, strict=True)
    return ChannelRanges(np.min(least, axis=0), np.max(largest, axis=0))
