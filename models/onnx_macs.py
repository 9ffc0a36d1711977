"""Multiply-accumulates of ONNX nodes, from the shapes of what they take and make.

Not counted: layers of a runtime's own domains, and those inside loops and branches, whose tensors
nobody sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from onnx import GraphProto, NodeProto

from ..records import LayerUse
from .onnx_layers import Shapes, attributes

Counted = Callable[[NodeProto, Sequence[tuple[int, ...]], tuple[int, ...]], int]
"""From a node, its inputs' shapes and its output's."""


def _convolution(place: int) -> Counted:
    """`place`: which input the weight (C_out, C_in / groups, ...) is."""

    def macs(_node: NodeProto, inputs: Sequence[tuple[int, ...]], output: tuple[int, ...]) -> int:
        return math.prod(output) * math.prod(inputs[place][1:])

    return macs


def _transposed(
    _node: NodeProto, inputs: Sequence[tuple[int, ...]], _output: tuple[int, ...]
) -> int:
    return math.prod(inputs[0]) * math.prod(inputs[1][1:])


def _matrices(node: NodeProto, inputs: Sequence[tuple[int, ...]], output: tuple[int, ...]) -> int:
    transposed = node.op_type == "Gemm" and attributes(node).get("transA", 0)
    return math.prod(output) * inputs[0][-2 if transposed else -1]


def _recurrent(
    _node: NodeProto, inputs: Sequence[tuple[int, ...]], _output: tuple[int, ...]
) -> int:
    """Every step of every example meets all of both weights."""
    return math.prod(inputs[0][:2]) * (math.prod(inputs[1]) + math.prod(inputs[2]))


def _einsum(node: NodeProto, inputs: Sequence[tuple[int, ...]], _output: tuple[int, ...]) -> int:
    terms = attributes(node)["equation"].decode().replace(" ", "").split("->")[0].split(",")
    if any("." in term for term in terms):
        return 0
    sizes = {
        letter: n
        for term, shape in zip(terms, inputs, strict=True)
        for letter, n in zip(term, shape, strict=True)
    }
    return math.prod(sizes.values())


FORMULAS: Mapping[str, Counted] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed,
    "Einsum": _einsum,
    **dict.fromkeys(("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"), _matrices),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
}


def layer_macs(
    graph: GraphProto,
    nodes: Mapping[str, NodeProto],
    uses: Sequence[LayerUse],
    shapes_of: Callable[[list[str]], list[tuple[int, ...]]],
    batch: int,
) -> dict[str, int]:
    """Return the multiply-accumulates of layers for one example, by name; those that cannot be
    counted are left out. `shapes_of` runs the network and says which shapes its tensors have."""
    macs = {use.name: use.spec.macs for use in uses if use.spec}
    others = {use.name: nodes[use.name] for use in uses if use.spec is None}
    outside = {value.name for value in graph.input}.union(*(node.output for node in graph.node))
    seen = {name for node in others.values() for name in (*node.input, *node.output)}
    names = sorted(seen & outside - {""})
    shapes: dict[str, tuple[int, ...]] = {one.name: tuple(one.dims) for one in graph.initializer}
    shapes |= dict(zip(names, shapes_of(names) if names else [], strict=True))
    counted = {name: _node_macs(node, shapes) for name, node in others.items()}
    return macs | {name: count // batch for name, count in counted.items() if count is not None}


def _node_macs(node: NodeProto, shapes: Shapes) -> int | None:
    """Return what a node computes for a whole batch; None where there is no formula, or a shape is
    missing."""
    formula = FORMULAS.get(node.op_type)
    output = next((shapes.get(name) for name in node.output if name), None)
    inputs = [shapes.get(name, ()) for name in node.input]
    if formula is None or output is None or not all(inputs[:2]):
        return None
    return formula(node, inputs, output)
