"""Nodes that are a plain layer and something beside it, written as the layer and the rest.

`Gemm` may turn its first input round and scale its product and its bias, which may be a matrix; a
product may have its weight on the left, or be an Einstein sum; runtimes fuse activations into
convolutions. Read as plain nodes these are layers like others. The file keeps its own nodes where
nothing is replaced (`restored`), so that original and compressed network are timed as the file has
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..ops.einsums import exchanged, linear_sum
from .onnx_file import opset, used_names
from .onnx_layers import attributes
from .onnx_rewrite import GEMM_NEEDS_BIAS_BELOW
from .onnx_storage import without_graph_body

SMALL = 64
"""Numbers of a constant that shape inference may look at: shapes, axes, never weights."""
CLIP_HAS_INPUTS_FROM = 11

Ranks = Mapping[str, int]
"""How many axes tensors have, as far as ONNX can infer it."""


@dataclass(slots=True)
class Parts:
    """What one node is written as. The first of `nodes` that is a product is the layer."""

    original: NodeProto
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)
    needed: list[TensorProto] = field(default_factory=list)
    """Constants that the original reads."""

    @property
    def name(self) -> str:
        return str(self.original.name or self.original.output[0])

    def add(self, op: str, inputs: Sequence[str], output: str, name: str = "", **given: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name or f"{output}/{op}", **given))
        return output

    def constant(self, what: str, value: NDArray[Any]) -> str:
        array = np.ascontiguousarray(value, dtype=np.float32)
        self.tensors.append(numpy_helper.from_array(array, self.inner(what)))
        return self.inner(what)

    def reshaped(self, rows: str, shape: Sequence[int], output: str) -> str:
        """Add what gives a tensor another shape, in which a 0 keeps an axis as it is."""
        numbers = numpy_helper.from_array(np.array(shape, np.int64), f"{output}/shape")
        self.tensors.append(numbers)
        return self.add("Reshape", [rows, numbers.name], output)

    def inner(self, what: str) -> str:
        """Return a name for a tensor that only these nodes know."""
        return f"{self.original.output[0]}/{what}"


def with_plain_products(model: ModelProto) -> tuple[ModelProto, tuple[Parts, ...]]:
    """Return a normalised model with plain nodes for all that can be written so, and what was
    written otherwise."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    ranks: Ranks | None = None
    nodes: list[NodeProto] = []
    changed: list[Parts] = []
    for node in model.graph.node:
        if not _may_change(node, constants):
            nodes.append(node)
            continue
        ranks = _ranks(model) if ranks is None else ranks
        parts = _plain(node, constants, ranks, opset(model))
        nodes += [node] if parts is None else parts.nodes
        if parts is not None:
            parts.needed = [constants[n] for n in node.input if n in constants]
            changed.append(parts)
    if not changed:
        return model, ()
    tensors = [*model.graph.initializer, *(t for one in changed for t in one.tensors)]
    return _rebuilt(model, nodes, tensors), tuple(changed)


def restored(model: ModelProto, changed: Sequence[Parts]) -> ModelProto:
    """Return the model with the original nodes in the place of all that is as it was written."""
    kept = {node.output[0]: node for node in model.graph.node}
    back = {
        parts.original.output[0]: parts
        for parts in changed
        if all(kept.get(node.output[0]) == node for node in parts.nodes)
    }
    if not back:
        return model
    inner = {n.output[0] for one in back.values() for n in one.nodes} - back.keys()
    nodes = [
        back[node.output[0]].original if node.output[0] in back else node
        for node in model.graph.node
        if node.output[0] not in inner
    ]
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors |= {tensor.name: tensor for one in back.values() for tensor in one.needed}
    return _rebuilt(model, nodes, list(tensors.values()))


def _rebuilt(
    model: ModelProto, nodes: Sequence[NodeProto], tensors: Sequence[TensorProto]
) -> ModelProto:
    result = without_graph_body(model)
    result.graph.node.extend(nodes)
    used = used_names(nodes) | {output.name for output in model.graph.output}
    result.graph.initializer.extend(tensor for tensor in tensors if tensor.name in used)
    return result


def _may_change(node: NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    """Whether a node is of a kind that is written otherwise, in single precision."""
    weights = [constants[name] for name in node.input[:2] if name in constants]
    if len(weights) != 1 or weights[0].data_type != TensorProto.FLOAT:
        return False
    return (node.domain, node.op_type) in MAKERS


def _plain(
    node: NodeProto, constants: Mapping[str, TensorProto], ranks: Ranks, version: int
) -> Parts | None:
    arrays = {n: numpy_helper.to_array(constants[n]) for n in node.input if n in constants}
    parts = MAKERS[node.domain, node.op_type](Parts(node), arrays, ranks, version)
    return parts if parts is not None and parts.nodes else None


def _gemm(
    parts: Parts, constants: Mapping[str, NDArray[Any]], _ranks: Ranks, version: int
) -> Parts | None:
    node, given = parts.original, attributes(parts.original)
    alpha, beta = given.get("alpha", 1.0), given.get("beta", 1.0)
    bias_name = node.input[2] if len(node.input) > 2 else ""
    bias = constants.get(bias_name)
    apart = bool(bias_name) and (bias is None or any(n != 1 for n in bias.shape[:-1]))
    if node.input[1] not in constants:
        return _left_gemm(parts, constants[node.input[0]], bias_name, bias)
    plain = not given.get("transA", 0) and alpha == 1 and (beta == 1 or not bias_name)
    if plain and not apart:
        return None
    weight = constants[node.input[1]]
    name = parts.constant("weight", alpha * weight) if alpha != 1 else node.input[1]
    inputs = [_turned(parts) if given.get("transA", 0) else node.input[0], name]
    output = parts.inner("product") if apart else node.output[0]
    if bias is not None and not apart:
        inputs.append(parts.constant("bias", beta * bias))
    elif version < GEMM_NEEDS_BIAS_BELOW:
        width = weight.shape[0 if given.get("transB", 0) else 1]
        inputs.append(parts.constant("zero", np.zeros(width)))
    parts.add("Gemm", inputs, output, parts.name, transB=int(given.get("transB", 0)))
    if apart:
        _add_apart(parts, output, bias_name, bias, beta)
    return parts


def _left_gemm(
    parts: Parts, weight: NDArray[Any], bias_name: str, bias: NDArray[Any] | None
) -> Parts:
    """A Gemm with its weight on the left: the product is turned, and the bias added then."""
    node, given = parts.original, attributes(parts.original)
    matrix = given.get("alpha", 1.0) * (weight.T if given.get("transA", 0) else weight)
    rows = node.input[1]
    if not given.get("transB", 0):
        rows = parts.add("Transpose", [rows], parts.inner("turned"), perm=[1, 0])
    names = [rows, parts.constant("weight", matrix.T)]
    product = parts.add("MatMul", names, parts.inner("product"), parts.name)
    output = parts.inner("turned_back") if bias_name else node.output[0]
    parts.add("Transpose", [product], output, perm=[1, 0])
    if bias_name:
        _add_apart(parts, output, bias_name, bias, given.get("beta", 1.0))
    return parts


def _turned(parts: Parts) -> str:
    return parts.add("Transpose", [parts.original.input[0]], parts.inner("turned"), perm=[1, 0])


def _add_apart(
    parts: Parts, product: str, name: str, bias: NDArray[Any] | None, beta: float
) -> None:
    """Add a bias that is no constant vector."""
    if bias is not None:
        name = parts.constant("bias", beta * bias)
    elif beta != 1:
        factor = parts.constant("beta", np.array(beta))
        name = parts.add("Mul", [name, factor], parts.inner("scaled"))
    parts.add("Add", [product, name], parts.original.output[0])


def _product(
    parts: Parts, constants: Mapping[str, NDArray[Any]], ranks: Ranks, _version: int
) -> Parts | None:
    """W x = (x' W')' for a weight on the left; a weight with axes of one in front is a matrix."""
    node = parts.original
    first, second = node.input
    left = first in constants
    weight, other = constants[first if left else second], ranks.get(second if left else first, 0)
    stacked = weight.ndim > 2
    if weight.ndim < 2 or any(n != 1 for n in weight.shape[:-2]) or other < 1:
        return None
    if (stacked and other < max(weight.ndim, 2)) or not (left or stacked):
        return None
    matrix = weight.reshape(weight.shape[-2:])
    if not left:
        parts.add("MatMul", [first, parts.constant("weight", matrix)], node.output[0], parts.name)
        return parts
    turned = parts.constant("weight", matrix.T)
    if other == 1:
        parts.add("MatMul", [second, turned], node.output[0], parts.name)
        return parts
    perm = [*range(other - 2), other - 1, other - 2]
    rows = parts.add("Transpose", [second], parts.inner("turned"), perm=perm)
    product = parts.add("MatMul", [rows, turned], parts.inner("product"), parts.name)
    parts.add("Transpose", [product], node.output[0], perm=perm)
    return parts


def _sum(
    parts: Parts, constants: Mapping[str, NDArray[Any]], ranks: Ranks, _version: int
) -> Parts | None:
    """An Einsum that is a product with one matrix; its axes may be several of what it takes and
    makes."""
    node, equation = parts.original, attributes(parts.original)["equation"].decode()
    if len(node.input) != 2:
        return None
    rows, weight = node.input
    if rows in constants:
        rows, weight, equation = weight, rows, exchanged(equation)
    found = linear_sum(equation, constants[weight].shape)
    if found is None or ranks.get(rows, 0) < len(found.inputs):
        return None
    kept = [0] * (ranks[rows] - len(found.inputs))
    matrix = constants[weight].transpose(found.matrix_axes).reshape(found.matrix_shape)
    if len(found.inputs) > 1:
        rows = parts.reshaped(rows, [*kept, matrix.shape[1]], parts.inner("flat"))
    divided = len(found.outputs) > 1
    output = parts.inner("product") if divided else node.output[0]
    parts.add("MatMul", [rows, parts.constant("weight", matrix.T)], output, parts.name)
    if divided:
        parts.reshaped(output, [*kept, *found.outputs], node.output[0])
    return parts


ACTIVATIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Relu", "Tanh", "Sigmoid"), ()),
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "Clip": ("min", "max"),
}
"""What ONNX Runtime fuses into convolutions, with the names of its parameters in their order."""


def _fused_conv(
    parts: Parts, constants: Mapping[str, NDArray[Any]], _ranks: Ranks, version: int
) -> Parts | None:
    node, given = parts.original, attributes(parts.original)
    activation = given.pop("activation", b"").decode()
    numbers = [float(one) for one in given.pop("activation_params", ())]
    if node.input[1] not in constants or activation not in ("", *ACTIVATIONS):
        return None
    names = [name for name in node.input[:3] if name]
    added = node.input[3] if len(node.input) > 3 else ""
    output = node.output[0]
    product = parts.inner("product") if added or activation else output
    parts.add("Conv", names, product, parts.name, **given)
    if added:
        product = parts.add("Add", [product, added], parts.inner("sum") if activation else output)
    if activation == "Clip" and version >= CLIP_HAS_INPUTS_FROM:
        limits = [parts.constant(f"limit{i}", np.array(one)) for i, one in enumerate(numbers)]
        parts.add("Clip", [product, *limits], output)
    elif activation:
        settings: dict[str, Any] = dict(zip(ACTIVATIONS[activation], numbers, strict=False))
        parts.add(activation, [product], output, **settings)
    return parts


MAKERS = {
    ("", "Gemm"): _gemm,
    ("", "MatMul"): _product,
    ("", "Einsum"): _sum,
    ("com.microsoft", "FusedConv"): _fused_conv,
}
"""By domain and type: what writes a node as plain ones, or returns None."""


def _ranks(model: ModelProto) -> Ranks:
    bare = without_graph_body(model)
    bare.graph.node.extend(model.graph.node)
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims) <= SMALL:
            bare.graph.initializer.append(tensor)
        else:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            bare.graph.input.append(value)
    graph = onnx.shape_inference.infer_shapes(bare).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    tensors = {value.name: value.type.tensor_type for value in values}
    return {name: len(one.shape.dim) for name, one in tensors.items() if one.HasField("shape")}
