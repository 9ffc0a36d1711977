"""Channels between two products brought to the same range, which changes nothing in float.

The tensor between two links of a chain has as many channels as the rank, and their ranges fall
like the singular values: with one scale for all of it the small channels lose their bits. Channel r
is divided by q_r in the first link and multiplied by it in the second. It is cross-layer
equalization (Nagel et al., ICCV 2019), and exact, between two layers with a Relu in between, too:
relu(x / q) = relu(x) / q for every q > 0. In that case the quantiser makes one tensor of what the
first computes and of its Relu, with the Relu's range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from ..models.onnx_storage import without_graph_body
from .products import Middle, middles

Floats = NDArray[np.floating[Any]]
SMALLEST = 1e-6
"""Ranges below this share of the largest count as that much: a dead channel has none."""


@dataclass(frozen=True, slots=True)
class Balance:
    """By which power of their range channels are divided between layers, and between the links of
    a chain: 0 leaves them as they are, 1 makes all alike."""

    layers: float = 0.0
    links: float = 0.0

    def power(self, middle: Middle) -> float:
        return self.layers if middle.activated else self.links

    def __str__(self) -> str:
        if not (self.layers or self.links):
            return "as the quantiser does it"
        return f"channels balanced by {self.layers:.2g} (links {self.links:.2g})"


NAIVE = Balance()
USUAL = Balance(layers=1 / 3, links=3 / 4)
"""What lost least of the networks that were tried. Power 1 makes every channel reach to the end of
the range, where what unseen pictures have more is cut off; a power for each tensor, chosen by
what rounding changes of the next product's output, does not see that, and lost more."""
BALANCES = (NAIVE, USUAL, Balance(layers=1 / 2, links=1 / 2))


def channel_factors(ranges: Floats, power: float) -> NDArray[np.float64]:
    """Return what each channel is divided by, (channels,): its range to that power, over the
    geometric mean of all, so that the geometric mean of what is returned is 1."""
    known = np.maximum(np.asarray(ranges, np.float64), SMALLEST * max(float(np.max(ranges)), 1e-30))
    logs = power * np.log(known)
    return np.asarray(np.exp(logs - logs.mean()))


def divided(weight: Floats, factors: Floats, axis: int) -> Floats:
    """Return a first product's weight, or its bias (axis 0), with output channels divided."""
    shape = [1] * weight.ndim
    shape[axis] = -1
    return np.asarray(weight / factors.reshape(shape), weight.dtype)


def multiplied(weight: Floats, factors: Floats, axis: int, groups: int = 1) -> Floats:
    """Return a second product's weight with input channels multiplied. Of a grouped convolution
    (out, in / groups, ...) each group of outputs has the channels of its own."""
    of_groups = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    shape = [groups, *[1] * weight.ndim]
    shape[axis + 1] = -1
    return np.asarray((of_groups * factors.reshape(shape)).reshape(weight.shape), weight.dtype)


def balanced(model: ModelProto, factors: Mapping[str, Floats]) -> ModelProto:
    """Return the same network with the named tensors between products divided by these factors."""
    arrays: dict[str, Floats] = {}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def of(name: str) -> Floats:
        return arrays[name] if name in arrays else numpy_helper.to_array(tensors[name])

    for middle in middles(model.graph):
        if middle.tensor in factors:
            _balance(middle, factors[middle.tensor], of, arrays)
    result = without_graph_body(model)
    result.graph.node.extend(model.graph.node)
    for name, tensor in tensors.items():
        changed = numpy_helper.from_array(arrays[name], name) if name in arrays else tensor
        result.graph.initializer.append(changed)
    return result


def _balance(middle: Middle, factors: Floats, of: Any, arrays: dict[str, Floats]) -> None:
    weight, *bias = middle.first.input[1:]
    arrays[weight] = divided(of(weight), factors, middle.output_axis)
    for name in filter(None, bias):
        arrays[name] = divided(of(name), factors, of(name).ndim - 1)
    second = middle.second.input[1]
    arrays[second] = multiplied(of(second), factors, middle.input_axis, middle.groups)
