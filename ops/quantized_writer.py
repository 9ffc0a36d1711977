"""A chain in eight bits: an ONNX graph of QuantizeLinear and DequantizeLinear around each operator.

It is what ONNX Runtime's static quantiser makes of a layer: weights as signed integers with a scale
for each output channel, activations with one scale for each tensor, biases as 32-bit integers. The
graph takes and gives the quantised tensor, as a layer does that stands among quantised ones. Scales
are made up from the weights: nothing saturates, and no range is much wider than it has to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..records import LayerSpec
from .chain import Chain, LinkWeights, Stretch, require_weights
from .onnx_writer import INPUT, OUTPUT, chain_nodes, finished_model

REACH = 5.0
"""Standard deviations of a tensor that its range reaches: one value in two million lies beyond."""
STEPS = 127
SMALLEST = 1e-7
"""Largest value of what is nothing but zeros, which needs a scale, too."""
ZERO_POINTS = {"uint8": 128, "int8": 0}
OUTPUT_AXES = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": 1}
"""Where the output channels of an operator's weight are."""
STAYS_FLOAT = "LeakyRelu"
"""Stands, with a slope of 1, behind a link that stays in float32. It changes nothing, and runtimes
take it into the link's kernel. Without it ONNX Runtime would quantise the weights of a link between
DequantizeLinear and QuantizeLinear by itself, with one scale for all of their channels
(microsoft/onnxruntime#22969, #24537)."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """How a quantised chain takes and gives its arrays: as integers of `dtype`, with the channels
    behind the positions where `channels_last`."""

    dtype: str
    input_scale: float
    output_scale: float
    channels_last: bool = False

    def encoded(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a float array (batch, channels, ...) as the graph takes it."""
        limits = np.iinfo(self.dtype)
        steps = np.round(array / self.input_scale) + ZERO_POINTS[self.dtype]
        turned = np.moveaxis(steps, 1, -1) if self.channels_last else steps
        return np.ascontiguousarray(turned.clip(limits.min, limits.max), dtype=self.dtype)

    def decoded(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return what the graph gives as float32 (batch, channels, ...)."""
        turned = np.moveaxis(array, -1, 1) if self.channels_last else array
        steps = turned.astype(np.float32) - ZERO_POINTS[self.dtype]
        return steps * np.float32(self.output_scale)


def quantized_model(
    chain: Chain,
    weights: Sequence[LinkWeights],
    batch: int,
    *,
    dtype: str = "uint8",
    channels_last: bool = False,
    floats: Sequence[Stretch] = (),
) -> tuple[ModelProto, Boundary]:
    """Return the model, and how it takes its arrays.

    Activations are of `dtype` (uint8 or int8). Stretches of links in `floats` stay in float32, with
    a conversion before each and one behind it. With `channels_last` a chain of convolutions takes
    and gives its channels last, as they lie between layers of a runtime that computes so. Raises
    `LayerError` for weights that are not the chain's.
    """
    last = channels_last and chain.links[0].op != "linear"
    writer = _Writer(dtype)
    first = writer.turned(INPUT, len(chain.input_shape), to_last=False) if last else INPUT
    current = _Tensor(first, 1.0, writer.scale(first, REACH))
    ends = {end for stretch in floats for end in stretch}
    in_float = {number for stretch in floats for number in range(*stretch)}
    require_weights(chain, weights)
    for number, (link, one) in enumerate(zip(chain.links, weights, strict=True)):
        given = writer.quantized(current) if number in ends else current
        add = writer.float_link if number in in_float else writer.quantized_link
        current = add(link, one, f"link{number}", given)
    current = writer.quantized(current)
    if last:
        writer.turned(current.name, len(chain.output_shape), to_last=True)
    writer.nodes[-1].output[0] = OUTPUT
    shapes = [_turned((batch, *s), last) for s in (chain.input_shape, chain.output_shape)]
    model = finished_model(writer.nodes, writer.initializers, (shapes[0], shapes[1]), dtype)
    return model, Boundary(dtype, REACH / STEPS, current.scale, last)


def _turned(shape: Sequence[int], channels_last: bool) -> list[int]:
    return [shape[0], *shape[2:], shape[1]] if channels_last else list(shape)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor that is written: its standard deviation, and its scale where it is quantised."""

    name: str
    deviation: float
    scale: float = 0.0


class _Writer:
    """Nodes and initializers, one operator after the other."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def turned(self, name: str, axes: int, to_last: bool) -> str:
        """Return the tensor with its channels behind its positions, or before them again."""
        order = [0, *range(2, axes + 1), 1] if to_last else [0, axes, *range(1, axes)]
        result = f"{name}.turned"
        self.nodes.append(helper.make_node("Transpose", [name], [result], perm=order))
        return result

    def scale(self, name: str, reach: float) -> float:
        """Give a tensor a scale with which it reaches so far on both sides of zero."""
        scale = reach / STEPS
        self._keep(f"{name}.scale", np.float32(scale))
        self._keep(f"{name}.zero", np.array(ZERO_POINTS[self.dtype], self.dtype))
        return scale

    def quantized(self, tensor: _Tensor) -> _Tensor:
        """Return the tensor in integers; one that is, as it is."""
        if tensor.scale:
            return tensor
        name = f"{tensor.name}.quantized"
        scale = self.scale(name, REACH * tensor.deviation)
        operands = [tensor.name, f"{name}.scale", f"{name}.zero"]
        self.nodes.append(helper.make_node("QuantizeLinear", operands, [name]))
        return _Tensor(name, tensor.deviation, scale)

    def _float(self, tensor: _Tensor, prefix: str) -> str:
        """Return the name of the tensor in float32."""
        if not tensor.scale:
            return tensor.name
        operands = [tensor.name, f"{tensor.name}.scale", f"{tensor.name}.zero"]
        result = f"{prefix}.{tensor.name}.float"
        self.nodes.append(helper.make_node("DequantizeLinear", operands, [result]))
        return result

    def float_link(
        self, link: LayerSpec, weights: LinkWeights, prefix: str, given: _Tensor
    ) -> _Tensor:
        start, result = self._float(given, prefix), f"{prefix}.result"
        nodes, initializers = chain_nodes(Chain((link,)), [weights], start, result, prefix)
        kept = helper.make_node(STAYS_FLOAT, [result], [f"{prefix}.kept"], alpha=1.0)
        self.nodes += [*nodes, kept]
        self.initializers += initializers
        return _Tensor(kept.output[0], _deviation(weights, given.deviation))

    def quantized_link(
        self, link: LayerSpec, weights: LinkWeights, prefix: str, given: _Tensor
    ) -> _Tensor:
        """Each node of the link takes integers and gives integers."""
        nodes, initializers = chain_nodes(Chain((link,)), [weights], "", f"{prefix}.end", prefix)
        operands = {one.name: numpy_helper.to_array(one) for one in initializers}
        deviation, current = _deviation(weights, given.deviation), self.quantized(given)
        for node in nodes:
            own = {name: operands[name] for name in node.input if name in operands}
            node.input[0] = self._float(current, node.name)
            self._quantize_operands(node, own, current.scale)
            self.nodes.append(node)
            current = self.quantized(_Tensor(node.output[0], deviation))
        return current

    def _quantize_operands(
        self, node: NodeProto, own: Mapping[str, NDArray[Any]], input_scale: float
    ) -> None:
        """Weights by output channel; a bias in steps of the product that it is added to."""
        (name, array), *biases = own.items()
        if node.op_type == "Add":  # a bias by itself is like an activation
            self._constant(name, array)
            return
        axis = OUTPUT_AXES[node.op_type]
        scales = _channel_scales(array, axis)
        self._dequantized(name, array, scales, np.int8, axis)
        for name, bias in biases:
            each = np.tile(scales * np.float32(input_scale), len(bias) // len(scales))
            self._dequantized(name, bias, each, np.int32, 0)

    def _constant(self, name: str, array: NDArray[Any]) -> None:
        held = f"{name}.quantized"
        scale = self.scale(held, max(float(np.abs(array).max()), SMALLEST))
        steps = np.round(array / scale) + ZERO_POINTS[self.dtype]
        self._keep(held, steps.astype(self.dtype))
        operands = [held, f"{held}.scale", f"{held}.zero"]
        self.nodes.append(helper.make_node("DequantizeLinear", operands, [name]))

    def _dequantized(
        self, name: str, array: NDArray[Any], scales: NDArray[Any], dtype: Any, axis: int
    ) -> None:
        shape = [-1 if place == axis else 1 for place in range(array.ndim)]
        self._keep(f"{name}.steps", np.round(array / scales.reshape(shape)).astype(dtype))
        self._keep(f"{name}.scale", scales)
        self._keep(f"{name}.zero", np.zeros(len(scales), dtype))
        operands = [f"{name}.{part}" for part in ("steps", "scale", "zero")]
        self.nodes.append(helper.make_node("DequantizeLinear", operands, [name], axis=axis))

    def _keep(self, name: str, array: Any) -> None:
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))


def _channel_scales(weight: NDArray[Any], axis: int) -> NDArray[Any]:
    others = tuple(place for place in range(weight.ndim) if place != axis)
    largest = np.maximum(np.abs(weight).max(axis=others), SMALLEST)
    return np.asarray(largest / STEPS, np.float32)


def _deviation(weights: LinkWeights, given: float) -> float:
    """Return the most that a channel of a link's output varies where its inputs vary by `given`,
    each by itself; a bias counts as if it varied, too."""
    rows = weights.weight.reshape(len(weights.weight), -1)
    bias = 0.0 if weights.bias is None else float(np.abs(weights.bias).max())
    return hypot(given * float(np.linalg.norm(rows, axis=1).max()), bias)
