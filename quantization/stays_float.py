"""Layers that were left in float32, kept there.

ONNX Runtime quantises the weights of a convolution or matrix between DequantizeLinear and
QuantizeLinear by itself, with one scale for all of its channels, and multiplies integers: what
lies between them as `DQ -> Conv -> Relu -> Q` was excluded in vain (microsoft/onnxruntime#22969,
#24537, #25673). An activation that it does not look through keeps it from doing so, and goes into
the product's own kernel: LeakyRelu with a slope of 1 changes nothing, with a slope of 0 it is Relu.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from onnx import ModelProto, NodeProto, helper

from ..ops.quantized_writer import STAYS_FLOAT
from .products import is_product


def kept_in_float(model: ModelProto, names: Collection[str]) -> ModelProto:
    """Return the quantised network, changed in place, so that the named products that are in float
    stay so."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    nodes = [
        one
        for node in model.graph.node
        for one in _with_shield(node, names, readers.get(node.output[0], []))
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _with_shield(
    node: NodeProto, names: Collection[str], readers: list[NodeProto]
) -> Iterator[NodeProto]:
    yield node
    if node.name not in names or not is_product(node):
        return
    if [reader.op_type for reader in readers] == ["Relu"]:
        (relu,) = readers
        relu.op_type = STAYS_FLOAT
        relu.attribute.append(helper.make_attribute("alpha", 0.0))
        return
    result = node.output[0]
    node.output[0] = f"{result}.float"
    name = f"{node.name}/{STAYS_FLOAT}"
    yield helper.make_node(STAYS_FLOAT, [node.output[0]], [result], name, alpha=1.0)
