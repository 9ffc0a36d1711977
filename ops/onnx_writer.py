"""A chain as ONNX nodes, built with `onnx.helper`: no tracing, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from ..records import LayerSpec
from .chain import Chain, LinkWeights
from .checks import require_weights

IR_VERSION = 10
"""Read by every ONNX Runtime since 1.18; a newer one would shut out older runtimes."""

INPUT, OUTPUT = "input", "output"


def chain_nodes(
    chain: Chain,
    weights: Sequence[LinkWeights],
    input_name: str,
    output_name: str,
    prefix: str,
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes from `input_name` to `output_name`, and the initializers they need.

    Names of nodes, inner tensors and initializers begin with `prefix`. Initializers have the
    links' dtype. Raises `LayerError` for weights that are not the chain's.
    """
    require_weights(chain, weights)
    nodes: list[NodeProto] = []
    initializers: list[TensorProto] = []
    last = len(chain.links) - 1
    for number, (link, one) in enumerate(zip(chain.links, weights, strict=True)):
        name = f"{prefix}.{number}"
        target = output_name if number == last else f"{name}.out"
        made = _linear(link, one, name) if link.op == "linear" else _conv(link, one, name)
        made_nodes, made_initializers = made.between(input_name, target)
        nodes += made_nodes
        initializers += made_initializers
        input_name = target
    return nodes, initializers


class _Made:
    """Nodes of one link, not yet connected: each takes the result of the one before it."""

    def __init__(self, name: str, dtype: str) -> None:
        self.name, self.dtype = name, dtype
        self.steps: list[tuple[str, list[str], dict[str, Any]]] = []
        self.initializers: list[TensorProto] = []

    def step(self, op: str, operands: dict[str, NDArray[Any]], **attributes: Any) -> None:
        names = []
        for suffix, array in operands.items():
            names.append(f"{self.name}.{suffix}")
            self.initializers.append(numpy_helper.from_array(self._array(array), names[-1]))
        self.steps.append((op, names, attributes))

    def _array(self, array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(array, dtype=self.dtype)

    def between(self, source: str, target: str) -> tuple[list[NodeProto], list[TensorProto]]:
        nodes = []
        for number, (op, operands, attributes) in enumerate(self.steps):
            is_last = number == len(self.steps) - 1
            result = target if is_last else f"{self.name}.{op.lower()}"
            node = f"{self.name}/{op}"
            nodes.append(helper.make_node(op, [source, *operands], [result], node, **attributes))
            source = result
        return nodes, self.initializers


def _conv(link: LayerSpec, weights: LinkWeights, name: str) -> _Made:
    made = _Made(name, link.dtype)
    operands = {"weight": weights.weight}
    if weights.bias is not None:
        operands["bias"] = weights.bias
    made.step(
        "Conv",
        operands,
        kernel_shape=list(link.kernel_size),
        strides=list(link.stride),
        pads=list(link.padding),
        dilations=list(link.dilation),
        group=link.groups,
    )
    return made


def _linear(link: LayerSpec, weights: LinkWeights, name: str) -> _Made:
    """Gemm for vectors; MatMul and Add where there are axes between batch and channels."""
    made = _Made(name, link.dtype)
    if len(link.input_shape) == 1:
        operands = {"weight": weights.weight}
        if weights.bias is not None:
            operands["bias"] = weights.bias
        made.step("Gemm", operands, transB=1)
        return made
    made.step("MatMul", {"weight": weights.weight.T})
    if weights.bias is not None:
        made.step("Add", {"bias": weights.bias})
    return made


def chain_model(
    chain: Chain, weights: Sequence[LinkWeights], batch: int, opset: int = 17
) -> ModelProto:
    """A whole model: input (batch, *chain.input_shape), output (batch, *chain.output_shape)."""
    nodes, initializers = chain_nodes(chain, weights, INPUT, OUTPUT, "link")
    element = helper.np_dtype_to_tensor_dtype(np.dtype(chain.links[0].dtype))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info(INPUT, element, [batch, *chain.input_shape])],
        [helper.make_tensor_value_info(OUTPUT, element, [batch, *chain.output_shape])],
        initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        producer_name="rankwise",
        ir_version=IR_VERSION,
    )
    checker.check_model(model)
    return model
