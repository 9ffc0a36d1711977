"""What an ONNX network's layers are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from ..records import LayerSpec, LayerUse
from .network import linear_input_shape

Shapes = Mapping[str, tuple[int, ...]]
"""By tensor name, batch included."""

UNSUPPORTED = frozenset(
    {"ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "MatMulInteger", "QLinearMatMul"}
)


@dataclass(frozen=True, slots=True)
class OnnxLayer:
    """One node that is a layer. `op`: `conv2d`, `linear`, or the node's type."""

    name: str
    op: str
    node: NodeProto
    reason: str = ""

    @property
    def input(self) -> str:
        return str(self.node.input[0])

    @property
    def output(self) -> str:
        return str(self.node.output[0])


def find_layers(graph: GraphProto) -> list[OnnxLayer]:
    """The layers of a normalised graph in its order. Nodes inside loops are not looked at."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    layers: list[OnnxLayer] = []
    taken: set[str] = set()
    for node in graph.node:
        found = _classify(node, constants)
        if found is not None:
            name = _free_name(node, taken)
            taken.add(name)
            layers.append(OnnxLayer(name, found[0], node, found[1]))
    return layers


def _free_name(node: NodeProto, taken: set[str]) -> str:
    name: str = node.name if node.name and node.name not in taken else node.output[0]
    while name in taken:
        name += "_"
    return name


def _classify(node: NodeProto, constants: Mapping[str, TensorProto]) -> tuple[str, str] | None:
    """(op, why it has no spec) of a node that is a layer; None of any other node."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in UNSUPPORTED:
        return node.op_type, node.op_type
    weight = constants.get(node.input[1]) if len(node.input) > 1 else None
    if node.op_type == "Conv":
        return _classify_conv(node, weight, constants)
    if node.op_type in ("Gemm", "MatMul") and weight is not None:
        return "linear", _unfit_linear(node, weight, constants)
    return None


def _classify_conv(
    node: NodeProto, weight: TensorProto | None, constants: Mapping[str, TensorProto]
) -> tuple[str, str]:
    if weight is None:
        return "conv2d", "its weight is computed"
    rank = len(weight.dims) - 2
    if rank != 2:
        return f"Conv{rank}d", f"Conv{rank}d"
    return "conv2d", _unfit_tensors(node, weight, constants)


def _unfit_linear(
    node: NodeProto, weight: TensorProto, constants: Mapping[str, TensorProto]
) -> str:
    if len(weight.dims) != 2:
        return f"its weight has {len(weight.dims)} axes"
    given = attributes(node)
    if given.get("transA", 0) or given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1:
        return "Gemm with transA, alpha or beta"
    return _unfit_tensors(node, weight, constants)


def _unfit_tensors(
    node: NodeProto, weight: TensorProto, constants: Mapping[str, TensorProto]
) -> str:
    if weight.data_type != TensorProto.FLOAT:
        return f"weights of type {TensorProto.DataType.Name(weight.data_type).lower()}"
    if _bias_name(node) and not _is_vector(constants.get(_bias_name(node))):
        return "its bias is no constant vector"
    return ""


def _is_vector(bias: TensorProto | None) -> bool:
    return bias is not None and all(n == 1 for n in bias.dims[:-1])


def _bias_name(node: NodeProto) -> str:
    return node.input[2] if node.op_type != "MatMul" and len(node.input) > 2 else ""


def attributes(node: NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def layer_use(layer: OnnxLayer, graph_weights: Shapes, shapes: Shapes, batch: int) -> LayerUse:
    """The layer with its spec, or with the reason why it has none."""
    if layer.reason:
        return LayerUse(layer.name, layer.op, None, layer.reason)
    shape = shapes[layer.input]
    weight = graph_weights[layer.node.input[1]]
    if layer.op == "linear":
        spec = _linear_spec(layer.node, weight, shape, batch)
        reason = "" if spec else f"its input {shape} does not divide by the network's batch"
        return LayerUse(layer.name, layer.op, spec, reason)
    if shape[0] != batch:
        reason = f"its input {shape} does not have the network's batch"
        return LayerUse(layer.name, layer.op, None, reason)
    return LayerUse(layer.name, layer.op, _conv_spec(layer.node, weight, shape))


def _linear_spec(
    node: NodeProto, weight: tuple[int, ...], shape: tuple[int, ...], batch: int
) -> LayerSpec | None:
    example = linear_input_shape(shape, batch)
    if example is None:
        return None
    outputs, inputs = weight if _transposed(node) else weight[::-1]
    return LayerSpec("linear", inputs, outputs, example, bias=bool(_bias_name(node)))


def _transposed(node: NodeProto) -> bool:
    """Whether the node keeps its weight as (out, in)."""
    return node.op_type == "Gemm" and bool(attributes(node).get("transB", 0))


def _conv_spec(node: NodeProto, weight: tuple[int, ...], shape: tuple[int, ...]) -> LayerSpec:
    given = attributes(node)
    stride = _pair(given.get("strides", (1, 1)))
    dilation = _pair(given.get("dilations", (1, 1)))
    kernel = (weight[2], weight[3])
    return LayerSpec(
        "conv2d",
        shape[1],
        weight[0],
        shape[1:],
        kernel,
        stride,
        _padding(given, shape[2:], kernel, stride, dilation),
        dilation,
        int(given.get("group", 1)),
        bool(_bias_name(node)),
    )


def _pair(numbers: Any) -> tuple[int, int]:
    return (int(numbers[0]), int(numbers[1]))


def _padding(
    given: Mapping[str, Any],
    size: tuple[int, ...],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int, int, int]:
    """(top, left, bottom, right), with `auto_pad` worked out for this input size."""
    mode = given.get("auto_pad", b"NOTSET").decode()
    if mode == "VALID":
        return (0, 0, 0, 0)
    if mode == "NOTSET":
        top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
        return (int(top), int(left), int(bottom), int(right))
    (top, bottom), (left, right) = (
        same_padding(size[axis], kernel[axis], stride[axis], dilation[axis], mode == "SAME_UPPER")
        for axis in (0, 1)
    )
    return (top, left, bottom, right)


def same_padding(
    size: int, kernel: int, stride: int, dilation: int, upper: bool
) -> tuple[int, int]:
    """Padding before and after so that the output has ceil(size / stride) positions."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def layer_weights(
    layer: OnnxLayer, constants: Mapping[str, TensorProto]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Weight as (out, in / groups, kh, kw) or (out, in), and the bias (out,)."""
    weight = np.array(numpy_helper.to_array(constants[layer.node.input[1]]))
    if layer.op == "linear" and not _transposed(layer.node):
        weight = np.ascontiguousarray(weight.T)
    name = _bias_name(layer.node)
    if not name:
        return weight, None
    bias = numpy_helper.to_array(constants[name]).reshape(-1)
    return weight, np.array(np.broadcast_to(bias, weight.shape[:1]))
