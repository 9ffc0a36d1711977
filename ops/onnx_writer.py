"""A chain as ONNX nodes, built with `onnx.helper`: no tracing, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from ..records import LayerSpec
from .chain import Chain, LinkWeights, require_weights
from .layouts import as_written

IR_VERSION = 10
"""Read by every ONNX Runtime since 1.18; a newer one would shut out older runtimes."""

INPUT, OUTPUT = "input", "output"


def chain_nodes(
    chain: Chain,
    weights: Sequence[LinkWeights],
    input_name: str,
    output_name: str,
    prefix: str,
    gemm: bool = True,
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes from `input_name` to `output_name`, and the initializers they need.

    Names of nodes, inner tensors and initializers begin with `prefix`. Initializers have the
    links' dtype. Without `gemm` vectors are multiplied by MatMul, too. Raises `LayerError` for
    weights that are not the chain's.
    """
    require_weights(chain, weights)
    nodes: list[NodeProto] = []
    initializers: list[TensorProto] = []
    last = len(chain.links) - 1
    for number, (link, one) in enumerate(zip(chain.links, weights, strict=True)):
        name = f"{prefix}.{number}"
        target = output_name if number == last else f"{name}.out"
        steps = _linear(link, one, gemm) if link.op == "linear" else _conv(link, one)
        for step in steps:
            result = target if step is steps[-1] else f"{name}.{step.op.lower()}"
            inputs = [input_name]
            for suffix, array in step.operands.items():
                inputs.append(f"{name}.{suffix}")
                cast = np.ascontiguousarray(array, dtype=link.dtype)
                initializers.append(numpy_helper.from_array(cast, inputs[-1]))
            node = f"{name}/{step.op}"
            nodes.append(helper.make_node(step.op, inputs, [result], node, **step.attributes))
            input_name = result
    return nodes, initializers


class _Step(NamedTuple):
    """A node that is not connected yet: it takes the result of the one before it."""

    op: str
    operands: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, Any]


def _operands(link: LayerSpec, weights: LinkWeights) -> dict[str, NDArray[Any]]:
    bias = {} if weights.bias is None else {"bias": weights.bias}
    return {"weight": as_written(link, weights.weight), **bias}


def _conv(link: LayerSpec, weights: LinkWeights) -> list[_Step]:
    geometry: dict[str, Any] = {
        "kernel_shape": link.kernel_size,
        "strides": link.stride,
        "pads": link.padding,
        "dilations": link.dilation,
        "group": link.groups,
    }
    if not link.is_transposed:
        return [_Step("Conv", _operands(link, weights), geometry)]
    geometry["pads"], geometry["output_padding"] = _cut_off(link)
    return [_Step("ConvTranspose", _operands(link, weights), geometry)]


def _cut_off(link: LayerSpec) -> tuple[list[int], list[int]]:
    """Return a transposed convolution's pads and output padding, the latter only where nothing is
    cut off at that end: runtimes want it below the stride."""
    axes = link.dimensions
    begins, ends = link.padding[:axes], link.padding[axes:]
    added = [max(o - e, 0) for o, e in zip(link.output_padding, ends, strict=True)]
    cut = [max(e - o, 0) for o, e in zip(link.output_padding, ends, strict=True)]
    return [*begins, *cut], added


def _linear(link: LayerSpec, weights: LinkWeights, gemm: bool) -> list[_Step]:
    """Gemm for vectors; MatMul and Add where there are axes between batch and channels."""
    if len(link.input_shape) == 1 and gemm:
        return [_Step("Gemm", _operands(link, weights), {"transB": 1})]
    product = _Step("MatMul", {"weight": weights.weight.T}, {})
    return (
        [product] if weights.bias is None else [product, _Step("Add", {"bias": weights.bias}, {})]
    )


def chain_model(
    chain: Chain, weights: Sequence[LinkWeights], batch: int, opset: int = 17
) -> ModelProto:
    """A whole model: input (batch, *chain.input_shape), output (batch, *chain.output_shape)."""
    nodes, initializers = chain_nodes(chain, weights, INPUT, OUTPUT, "link")
    shapes = (batch, *chain.input_shape), (batch, *chain.output_shape)
    return finished_model(nodes, initializers, shapes, chain.links[0].dtype, opset)


def finished_model(
    nodes: Sequence[NodeProto],
    initializers: Sequence[TensorProto],
    shapes: tuple[Sequence[int], Sequence[int]],
    dtype: str,
    opset: int = 17,
) -> ModelProto:
    """Return the model of nodes from `INPUT` to `OUTPUT`, which have these shapes, batch included,
    and this dtype."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [
        helper.make_tensor_value_info(name, element, shape)
        for name, shape in zip((INPUT, OUTPUT), shapes, strict=True)
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "chain", ends[:1], ends[1:], initializers),
        opset_imports=[helper.make_opsetid("", opset)],
        producer_name="rankwise",
        ir_version=IR_VERSION,
    )
    checker.check_model(model)
    return model
