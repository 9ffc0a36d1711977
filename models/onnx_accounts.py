"""Where an ONNX graph's parameters are: see `parameter_accounts`.

A file does not tell weights from other constants. Counted as parameters are all floating constants,
those of loops and branches too, and of whole numbers only what layers are given (int8 weights).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from onnx import GraphProto, NodeProto, TensorProto

from ..layering.parameter_accounts import ParameterAccounts, shared_out
from ..records import LayerUse
from .onnx_file import every_graph

FLOATING = frozenset(
    {
        *(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE),
        *(TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ),
        *(TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ),
    }
)
WHOLE = frozenset({TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4})


def onnx_accounts(
    graph: GraphProto,
    nodes: Mapping[str, NodeProto],
    uses: Sequence[LayerUse],
    macs: Mapping[str, int],
) -> ParameterAccounts:
    """Count the parameters of a normalised graph by its layers, whose nodes are given by name.
    Those that can be decomposed come first where several share one."""
    constants = {tensor.name: tensor for one in every_graph(graph) for tensor in one.initializer}
    makers = {out: node for one in every_graph(graph) for node in one.node for out in node.output}
    first = sorted(uses, key=lambda use: use.spec is None)
    claims = (
        (use.name, name, _numbers(constants[name]))
        for use in first
        for name in _given(nodes[use.name].input, constants, makers)
        if constants[name].data_type in FLOATING | WHOLE
    )
    return shared_out(claims, _rest(graph, constants), macs)


def with_shared(
    uses: Iterable[LayerUse], nodes: Mapping[str, NodeProto], graph: GraphProto
) -> Iterator[LayerUse]:
    """Yield the uses with the number of each layer's parameters that other nodes read, too, or that
    are an output. Constants in the graph's loops and branches are no layer's own."""
    sizes = {tensor.name: _numbers(tensor) for tensor in graph.initializer}
    readers = Counter(
        name for one in every_graph(graph) for node in one.node for name in node.input
    )
    readers.update(output.name for one in every_graph(graph) for output in one.output)
    for use in uses:
        own = set(nodes[use.name].input) & sizes.keys() if use.spec is not None else set()
        yield replace(use, shared=sum(sizes[name] for name in own if readers[name] > 1))


def _given(
    inputs: Iterable[str],
    constants: Mapping[str, TensorProto],
    makers: Mapping[str, NodeProto],
) -> Iterator[str]:
    """Yield the constants that a node is given, also through nodes that take nothing else (what
    makes floats of int8 weights)."""
    for name in inputs:
        if name in constants:
            yield name
        elif name in makers and _constant(name, constants, makers):
            yield from _given(makers[name].input, constants, makers)


def _constant(
    name: str, constants: Mapping[str, TensorProto], makers: Mapping[str, NodeProto]
) -> bool:
    """Whether a tensor follows from constants alone."""
    if name in constants or not name:
        return True
    maker = makers.get(name)
    return (
        maker is not None
        and len(maker.input) > 0
        and all(_constant(one, constants, makers) for one in maker.input)
    )


def _rest(
    graph: GraphProto, constants: Mapping[str, TensorProto]
) -> Iterator[tuple[str, str, int]]:
    """Yield the floating constants by the type of the first node that reads each."""
    for one in every_graph(graph):
        for node in one.node:
            for name in node.input:
                if name in constants and constants[name].data_type in FLOATING:
                    yield node.op_type, name, _numbers(constants[name])
    for name, tensor in constants.items():
        if tensor.data_type in FLOATING:
            yield "output", name, _numbers(tensor)


def _numbers(tensor: TensorProto) -> int:
    return math.prod(tensor.dims)
