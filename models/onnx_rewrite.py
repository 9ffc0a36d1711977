"""Put chains of nodes where layers of an ONNX graph are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from ..ops.onnx_padding import keep_auto_pad
from .network import Replacements
from .onnx_file import opset, used_names
from .onnx_layers import OnnxLayer
from .onnx_storage import without_graph_body

GEMM_BROADCASTS_FROM = 7
"""Opset from which on Gemm's bias needs no attribute that says so, and runtimes know Gemm."""
GEMM_NEEDS_BIAS_BELOW = 11
"""Opset from which on Gemm's bias is optional."""


def replace_layers(
    model: ModelProto, layers: Iterable[OnnxLayer], replacements: Replacements
) -> ModelProto:
    """A copy of the model with chains for the named layers, between the same tensors.

    Weights that no node reads any more are dropped; everything else stays.
    """
    by_output = {layer.output: layer for layer in layers if layer.name in replacements}
    result = without_graph_body(model)
    taken = _all_names(model.graph)
    nodes: list[NodeProto] = []
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        layer = by_output.get(node.output[0])
        if layer is None:
            nodes.append(node)
            continue
        new_nodes, new_tensors = _chain(layer, replacements, taken, opset(model))
        keep_auto_pad(layer.node, tensors[node.input[1]].dims, new_nodes)
        nodes += new_nodes
        tensors |= {tensor.name: tensor for tensor in new_tensors}
    result.graph.node.extend(nodes)
    used = used_names(nodes) | {output.name for output in model.graph.output}
    result.graph.initializer.extend(t for name, t in tensors.items() if name in used)
    return result


def needed_for(model: ModelProto, tensors: Iterable[str]) -> ModelProto:
    """Return the model with only the nodes and initializers that the tensors follow from."""
    wanted = list(tensors)
    needed, nodes = set(wanted), list[NodeProto]()
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed |= used_names([node])
    if len(nodes) == len(model.graph.node):
        return model
    result = without_graph_body(model)
    result.graph.node.extend(reversed(nodes))
    result.graph.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    del result.graph.output[:]
    result.graph.output.extend(ValueInfoProto(name=name) for name in wanted)
    return result


def _chain(
    layer: OnnxLayer, replacements: Replacements, taken: set[str], version: int
) -> tuple[list[NodeProto], list[TensorProto]]:
    from ..ops.onnx_writer import chain_nodes

    chain, weights = replacements[layer.name]
    prefix = _free_prefix(layer.name, taken)
    gemm = version >= GEMM_BROADCASTS_FROM
    nodes, tensors = chain_nodes(chain, weights, layer.input, layer.output, prefix, gemm)
    if version < GEMM_NEEDS_BIAS_BELOW:
        tensors = [*tensors, *_add_biases(nodes, tensors, prefix)]
    taken.update(tensor.name for tensor in tensors)
    taken.update(output for node in nodes for output in node.output)
    return nodes, tensors


def _add_biases(
    nodes: Iterable[NodeProto], tensors: Iterable[TensorProto], prefix: str
) -> list[TensorProto]:
    """Zero biases for Gemm nodes that have none (changes the nodes)."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in tensors}
    zeros = []
    for index, node in enumerate(nodes):
        if node.op_type == "Gemm" and len(node.input) == 2:
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            outputs = shapes[node.input[1]][0 if transposed else 1]
            name = f"{prefix}_zero_{index}"
            zeros.append(numpy_helper.from_array(np.zeros(outputs, np.float32), name))
            node.input.append(name)
    return zeros


def _free_prefix(name: str, taken: set[str]) -> str:
    """`name`, lengthened until no tensor's or node's name but the layer's own begins with it."""
    prefix = f"{name}/lowrank"
    while any(other.startswith(prefix) for other in taken):
        prefix += "_"
    return prefix


def _all_names(graph: GraphProto) -> set[str]:
    names = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        names |= {node.name, *node.output}
    return names
