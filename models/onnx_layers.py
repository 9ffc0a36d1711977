"""The layers of an ONNX graph: their specs, or why they have none, and their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from ..ops.layouts import turned
from ..records import LayerSpec, LayerUse, Op
from .idle_layers import idle_nodes
from .network import linear_input_shape
from .onnx_file import subgraphs
from .onnx_transposed import OPS, transposed_spec

Shapes = Mapping[str, tuple[int, ...]]
"""By tensor name, batch included."""

UNSUPPORTED = {
    "DeformConv": "several inputs (DeformConv)",
    "Einsum": "a sum that is no product with one matrix (Einsum)",
    **{op: f"recurrent layer ({op})" for op in ("LSTM", "GRU", "RNN")},
    **{
        op: f"int8 weights ({op})"
        for op in ("ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul")
    },
}
"""Layers of other kinds by the node's type, each with the reason."""

CONVOLUTIONS: dict[str, dict[int, Op]] = {
    "Conv": {1: "conv1d", 2: "conv2d", 3: "conv3d"},
    "ConvTranspose": OPS,
}
"""The ops of convolutions by the node's type and the number of their axes of positions."""

FUSED = ("Conv", "Gemm", "MatMul", "Attention")
"""What the names of a runtime's own layers have in them (FusedConv, MatMulNBits, ...)."""


@dataclass(frozen=True, slots=True)
class OnnxLayer:
    """One node that is a layer. `op`: that of a spec, or the node's type."""

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
    """Return the layers of a normalised graph in its order; those inside loops and branches,
    which stay as they are, come where the loop or branch is."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node.op_type for node in graph.node for output in node.output}
    layers: list[OnnxLayer] = []
    taken: set[str] = set()
    idle = idle_nodes(graph)
    for node in graph.node:
        own = _classify(node, constants, makers)
        for part, op, reason in [(node, *own)] if own else _inside(node):
            name = _free_name(part, taken)
            taken.add(name)
            reason = idle.get(part.output[0], reason or _of_one_size(part, graph))
            layers.append(OnnxLayer(name, op, part, reason))
    return layers


def _of_one_size(node: NodeProto, graph: GraphProto) -> str:
    """Say why the numbers of a node's padding, as they are now, are wrong for inputs of other
    sizes, which the file leaves open; else empty."""
    sizes = (dim for one in graph.input for dim in one.type.tensor_type.shape.dim[2:])
    is_open = any(not dim.dim_value for dim in sizes)
    if is_open and "output_shape" in attributes(node):
        return "its output shape is the same for inputs of every size, which the file leaves open"
    return ""


def _inside(node: NodeProto) -> list[tuple[NodeProto, str, str]]:
    """Return the layers of the graphs that a node holds, each with its op and the reason."""
    reason = f"inside a node of type {node.op_type}"
    inner = [layer for graph in subgraphs(node) for layer in find_layers(graph)]
    return [(layer.node, layer.op, reason) for layer in inner]


def _free_name(node: NodeProto, taken: set[str]) -> str:
    output = next(filter(None, node.output))  # the first may be left out
    name: str = node.name if node.name and node.name not in taken else output
    while name in taken:
        name += "_"
    return name


def _classify(
    node: NodeProto, constants: Mapping[str, TensorProto], makers: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return (op, why it has no spec) for a node that is a layer; None for any other. `makers`
    are the types of the nodes that tensors come from."""
    op = node.op_type
    if node.domain not in ("", "ai.onnx"):
        of_runtime = any(part in op for part in FUSED)
        return (op, f"{op} of {node.domain}") if of_runtime else None
    if op in UNSUPPORTED:
        constant = any(name in constants for name in node.input)
        return (op, UNSUPPORTED[op]) if op != "Einsum" or constant else None
    if op not in (*CONVOLUTIONS, "Gemm", "MatMul"):
        return None
    weight = constants.get(node.input[1])
    if weight is None:
        axes = len(attributes(node).get("kernel_shape", (0, 0)))
        kind = CONVOLUTIONS[op].get(axes, op) if op in CONVOLUTIONS else "linear"
        return kind, _computed(node, constants, makers)
    if op in CONVOLUTIONS:
        return _classify_conv(node, weight, constants)
    return "linear", _unfit_linear(node, weight, constants)


def _computed(
    node: NodeProto, constants: Mapping[str, TensorProto], makers: Mapping[str, str]
) -> str:
    """Say why a node has no constant weight where layers have theirs."""
    if makers.get(node.input[1]) == "DequantizeLinear":
        return "int8 weights (QDQ)"
    if node.op_type not in CONVOLUTIONS and node.input[0] in constants:
        return "its weight stands on the left"
    if node.op_type == "MatMul":
        return "several inputs (product of two computed tensors)"
    return "its weight is computed"


def _classify_conv(
    node: NodeProto, weight: TensorProto, constants: Mapping[str, TensorProto]
) -> tuple[str, str]:
    axes, of_node = len(weight.dims) - 2, CONVOLUTIONS[node.op_type]
    if axes not in of_node:
        return node.op_type, f"{axes} axes of positions"
    return of_node[axes], _unfit_tensors(node, weight, constants)


def _unfit_linear(
    node: NodeProto, weight: TensorProto, constants: Mapping[str, TensorProto]
) -> str:
    if len(weight.dims) > 2:
        # Factors of a matrix are two products; of many, two for each, with less to do in each.
        return f"a matrix for each head (its weight has {len(weight.dims)} axes)"
    if len(weight.dims) < 2:
        return "its weight is a vector"
    return _unfit_tensors(node, weight, constants)


def _unfit_tensors(
    node: NodeProto, weight: TensorProto, constants: Mapping[str, TensorProto]
) -> str:
    if weight.data_type != TensorProto.FLOAT:
        return f"weights of type {TensorProto.DataType.Name(weight.data_type).lower()}"
    bias = constants.get(_bias_name(node))
    if _bias_name(node) and (bias is None or any(n != 1 for n in bias.dims[:-1])):
        return "its bias is no constant vector"
    return ""


def _bias_name(node: NodeProto) -> str:
    return node.input[2] if node.op_type != "MatMul" and len(node.input) > 2 else ""


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def layer_use(layer: OnnxLayer, graph_weights: Shapes, shapes: Shapes, batch: int) -> LayerUse:
    """Return the layer with its spec, or with the reason why it has none."""
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
    if layer.node.op_type == "ConvTranspose":
        given, bias = attributes(layer.node), bool(_bias_name(layer.node))
        return LayerUse(layer.name, layer.op, transposed_spec(given, weight, shape, bias))
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
    given, kernel = attributes(node), weight[2:]
    ones = (1,) * len(kernel)
    stride, dilation = (
        tuple(int(n) for n in given.get(name, ones)) for name in ("strides", "dilations")
    )
    return LayerSpec(
        CONVOLUTIONS["Conv"][len(kernel)],
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


def _padding(
    given: Mapping[str, Any],
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[int, ...]:
    """Return all begins, then all ends, with `auto_pad` worked out for this input size."""
    mode = given.get("auto_pad", b"NOTSET").decode()
    if mode == "VALID":
        return ()
    if mode == "NOTSET":
        return tuple(int(n) for n in given.get("pads", ()))
    sides = [
        same_padding(*axis, mode == "SAME_UPPER")
        for axis in zip(size, kernel, stride, dilation, strict=True)
    ]
    return (*(begin for begin, _ in sides), *(end for _, end in sides))


def same_padding(
    size: int, kernel: int, stride: int, dilation: int, upper: bool
) -> tuple[int, int]:
    """Return the padding before and after that gives ceil(size / stride) output positions."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def layer_weights(
    layer: OnnxLayer, constants: Mapping[str, TensorProto]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the weight in the shape that specs have, and the bias (out,)."""
    weight = np.array(numpy_helper.to_array(constants[layer.node.input[1]]))
    if layer.node.op_type == "ConvTranspose":
        weight = turned(weight, int(attributes(layer.node).get("group", 1)))
    if layer.op == "linear" and not _transposed(layer.node):
        weight = np.ascontiguousarray(weight.T)
    name = _bias_name(layer.node)
    if not name:
        return weight, None
    bias = numpy_helper.to_array(constants[name]).reshape(-1)
    return weight, np.array(np.broadcast_to(bias, weight.shape[:1]))
