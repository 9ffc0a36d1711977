"""What can be known of an ONNX graph before it runs, once its input's shape is fixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from ...inputs.examples import NetworkInputs
from ..onnx_file import evaluated
from ..onnx_layers import attributes
from ..onnx_session import TensorSession

Shape = tuple[int, ...]
MAX_ELEMENTS = 2**16
"""Most elements of a result that is worked out beforehand; shapes are far smaller."""

NEEDS_SHAPE = frozenset(
    {
        *("Shape", "Size", "BatchNormalization", "InstanceNormalization", "Conv", "MaxPool"),
        *("AveragePool", "ConvTranspose", "Reshape", "Softmax", "LogSoftmax", "Flatten", "Expand"),
        *("Resize", "Upsample", "LayerNormalization"),
    }
)
NOT_FOLDED = frozenset(
    {"If", "Loop", "Scan", "RandomNormal", "RandomUniform", "RandomNormalLike", "Multinomial"}
)


def tensor_shapes(model: ModelProto, inputs: NetworkInputs) -> dict[str, Shape]:
    """Return the shapes (batch included) of tensors whose shape decides how a node is converted.

    They come from one run, because inference from the file alone stops at the first open size.
    Raises `ModelError` if onnxruntime cannot run the model on such an input.
    """
    names = list(dict.fromkeys(_asked(model)))
    if not names:
        return {}
    values = TensorSession(model, names).run(inputs.example)
    return {name: tuple(value.shape) for name, value in zip(names, values, strict=True)}


def _asked(model: ModelProto) -> Iterator[str]:
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in NEEDS_SHAPE:
            if node.input[0] not in constants:
                yield node.input[0]
            if node.op_type in ("Reshape", "Expand", "Resize", "Upsample"):
                yield node.output[0]


def shape_constants(model: ModelProto, shapes: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    """Return the values of all tensors that follow from initializers and from shapes alone."""
    known = {t.name: np.array(numpy_helper.to_array(t)) for t in model.graph.initializer}
    for node in model.graph.node:
        value = _shape_value(node, shapes)
        if value is None:
            value = _constant_output(node, known, model)
        if value is not None:
            known[node.output[0]] = value
    return known


def _shape_value(node: NodeProto, shapes: Mapping[str, Shape]) -> NDArray[Any] | None:
    if node.op_type not in ("Shape", "Size") or node.input[0] not in shapes:
        return None
    shape = np.array(shapes[node.input[0]], dtype=np.int64)
    if node.op_type == "Size":
        return np.array(np.prod(shape), dtype=np.int64)
    given = attributes(node)
    return shape[given.get("start", 0) : given.get("end")]


def _constant_output(
    node: NodeProto, known: Mapping[str, NDArray[Any]], model: ModelProto
) -> NDArray[Any] | None:
    """Return the only output of a node that takes nothing but constants; None of any other node."""
    if node.op_type in NOT_FOLDED or len(node.output) != 1:
        return None
    if not all(name in known for name in node.input if name):
        return None
    operands = {name: known[name] for name in node.input if name}
    if sum(value.size for value in operands.values()) > MAX_ELEMENTS:
        return None
    value = evaluated(node, operands, model.opset_import)
    return value if value is not None and value.size <= MAX_ELEMENTS else None
