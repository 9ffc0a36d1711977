"""Products with weights in an ONNX graph, and the tensors that go from one into the next.

Between two links of a chain there is such a tensor, with as many channels as the rank. So there is
between two layers, with a Relu before it, where nothing else reads what comes out of the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, NodeProto

from ..models.onnx_layers import attributes

CONVOLUTIONS = ("Conv", "ConvTranspose")
PRODUCTS = (*CONVOLUTIONS, "Gemm", "MatMul")


@dataclass(frozen=True, slots=True)
class Middle:
    """A tensor that only one product makes, and only one other reads; `activated`: by a Relu, which
    a positive factor of a channel goes through unchanged."""

    tensor: str
    first: NodeProto
    second: NodeProto
    activated: bool = False

    @property
    def output_axis(self) -> int:
        """The axis of the first's weight that has the tensor's channels."""
        return 0 if self.first.op_type == "Conv" or _turned(self.first) else 1

    @property
    def input_axis(self) -> int:
        """The axis of the second's weight that has the tensor's channels, or those of a group."""
        return 1 if self.second.op_type == "Conv" or _turned(self.second) else 0

    @property
    def groups(self) -> int:
        return int(attributes(self.second).get("group", 1))


def _turned(node: NodeProto) -> bool:
    return node.op_type == "Gemm" and bool(attributes(node).get("transB", 0))


def is_product(node: NodeProto) -> bool:
    return node.op_type in PRODUCTS and node.domain in ("", "ai.onnx")


def middles(graph: GraphProto) -> list[Middle]:
    """Return the tensors between two convolutions, or two matrices, with weights that nobody else
    uses, straight or by a Relu."""
    makers = {node.output[0]: node for node in graph.node if _balances(node) or _is_relu(node)}
    readers = Counter(name for node in graph.node for name in node.input)
    outputs = {value.name for value in graph.output}
    weights = {tensor.name for tensor in graph.initializer if readers[tensor.name] == 1}
    found = []
    for node in filter(_balances, graph.node):
        way = [node.input[0]]
        first = makers.get(way[0])
        if first is not None and _is_relu(first):
            way.append(first.input[0])
            first = makers.get(way[1])
        if first is None or not _balances(first):
            continue
        alone = all(readers[tensor] == 1 and tensor not in outputs for tensor in way)
        if alone and weights.issuperset([*filter(None, first.input[1:]), node.input[1]]):
            found.append(Middle(way[0], first, node, activated=len(way) > 1))
    return found


def _is_relu(node: NodeProto) -> bool:
    return node.op_type == "Relu" and node.domain in ("", "ai.onnx")


def _balances(node: NodeProto) -> bool:
    """Transposed convolutions are left out: no runtime here has integer kernels for them. So are
    transposed and scaled operands of Gemm, which chains do not have."""
    if node.op_type == "Gemm":
        said = attributes(node)
        return not said.get("transA", 0) and said.get("alpha", 1.0) == said.get("beta", 1.0) == 1.0
    return is_product(node) and node.op_type != "ConvTranspose"


def behind_products(model: ModelProto) -> Iterator[NodeProto]:
    """Yield the nodes behind the last products: they follow from one, and none follows from them.

    That is where boxes and scores go into one Concat.
    """
    wanted: set[str] = set()
    behind = []
    for node in reversed(model.graph.node):
        if is_product(node) or wanted.intersection(node.output):
            wanted.update(node.input)
        else:
            behind.append(node)
    yield from reversed(behind)


def last_products(model: ModelProto) -> list[NodeProto]:
    """Return the products that no other follows from."""
    wanted: set[str] = set()
    last = []
    for node in reversed(model.graph.node):
        follows = bool(wanted.intersection(node.output))
        if is_product(node) and not follows:
            last.append(node)
        if is_product(node) or follows:
            wanted.update(node.input)
    return last[::-1]
