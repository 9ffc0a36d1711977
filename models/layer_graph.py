"""How a network's layers follow one another: layers, and the places where their ways meet.

Operators that take one way on (activations, pooling, reshaping) are passed over, so that what is
left is as small as the network is in words: layers, and joins such as the addition at the end of
a residual block.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .network import Network

if TYPE_CHECKING:
    from onnx import GraphProto
    from torch import fx, nn

Step = tuple[str, Sequence[str], Sequence[str], str, bool]
"""One operator in the network's order: name, inputs, outputs, what it does, whether it is a
layer."""

SIZES = ("Shape", "Size", "size", "getattr")
"""Operators whose results say how large a tensor is and nothing of what is in it."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A layer (`name` is the layer's) or a join of ways (`name` is the operator's)."""

    name: str
    op: str
    layer: bool


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """Nodes in the network's order, and pairs of their places: from, to; from is the smaller."""

    nodes: list[GraphNode] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)

    def add(self, node: GraphNode, sources: Iterable[int]) -> int:
        """Append a node that takes what these nodes give, and return its place."""
        self.nodes.append(node)
        place = len(self.nodes) - 1
        self.edges.extend((source, place) for source in sorted(sources))
        return place


def layer_graph(network: Network) -> LayerGraph | None:
    """Return the graph of a network that was loaded; None where the layers' order of computing
    cannot be read (a torch module that decides on what it sees)."""
    names = {use.name for use in network.layers}
    read: Any = network
    if network.framework == "onnx":
        steps: Iterable[Step] | None = _onnx_steps(read.model.graph, names)
    else:
        steps = _torch_steps(read.layered, names)
    found = None if steps is None else contracted(steps)
    return found if found and names <= {node.name for node in found.nodes if node.layer} else None


def contracted(steps: Iterable[Step]) -> LayerGraph:
    """Return layers and joins: an operator that several of them lead to is a join, others pass
    on where their input came from."""
    graph = LayerGraph()
    origins: dict[str, frozenset[int]] = {}
    for name, inputs, outputs, op, is_layer in steps:
        sources = frozenset[int]().union(*(origins.get(one, frozenset()) for one in inputs))
        if is_layer or len(sources) > 1:
            sources = frozenset([graph.add(GraphNode(name, op, is_layer), sources)])
        elif op in SIZES:
            sources = frozenset()
        origins.update(dict.fromkeys(outputs, sources))
    return graph


def _onnx_steps(graph: GraphProto, names: Collection[str]) -> Iterator[Step]:
    from .onnx_layers import find_layers

    layers = {layer.output: layer for layer in find_layers(graph) if layer.name in names}
    for node in graph.node:
        layer = layers.get(next(filter(None, node.output), ""))
        name, op = (layer.name, layer.op) if layer else (node.name, node.op_type)
        yield name, list(node.input), list(node.output), op, layer is not None


def _torch_steps(module: nn.Module, names: Collection[str]) -> list[Step] | None:
    from torch import fx

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return module_qualified_name in names or super().is_leaf_module(
                m, module_qualified_name
            )

    try:
        traced = Tracer().trace(module)
    except Exception:  # whatever the network's own code does with what is no tensor
        return None
    steps: list[Step] = []
    for node in traced.nodes:
        inputs = [one.name for one in node.all_input_nodes]
        is_layer = node.op == "call_module" and node.target in names
        name = str(node.target) if is_layer else node.name
        steps.append((name, inputs, [node.name], _word(module, node), is_layer))
    return steps


def _word(module: nn.Module, node: fx.Node) -> str:
    """Return what a traced operator is called."""
    if node.op == "call_module":
        return type(module.get_submodule(str(node.target))).__name__
    return str(getattr(node.target, "__name__", node.target))
