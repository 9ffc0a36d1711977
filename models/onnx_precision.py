"""ONNX files with weights in half precision, which are read in float32.

Processors mostly have no kernels for float16 and bfloat16: ONNX Runtime casts there and back, or
refuses the file. In float32 a network can be run, differentiated and taken apart everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, TypeProto, numpy_helper

from ..inputs.examples import AskedInput
from .onnx_file import every_graph
from .onnx_storage import without_graph_body

HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
TYPES = frozenset({"to", "dtype", "output_dtype"})
"""Attributes that say of which type a node's result is."""


def in_float32(model: ModelProto) -> tuple[ModelProto, tuple[str, ...]]:
    """Return the same network with float32 for all that is in half precision, and a note that says
    so; the model as it is if no weights are."""
    names = {
        TensorProto.DataType.Name(tensor.data_type).lower()
        for graph in every_graph(model.graph)
        for tensor in graph.initializer
        if tensor.data_type in HALF
    }
    if not names:
        return model, ()
    made = without_graph_body(model)
    made.graph.node.extend(model.graph.node)
    made.graph.initializer.extend(model.graph.initializer)
    for graph in every_graph(made.graph):
        _widen(graph)
    note = (
        f"its weights are {' and '.join(sorted(names))} and were read in float32, in which files "
        "are written, too; --dtype times layers in another type"
    )
    return made, (note,)


def as_read(asked: Sequence[AskedInput]) -> list[AskedInput]:
    """Return what was asked of inputs, of the type that those in half precision are read in."""
    return [
        AskedInput(name, shape, "float32" if dtype in ("float16", "bfloat16") else dtype)
        for name, shape, dtype in asked
    ]


def _widen(graph: GraphProto) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output):
        _widen_type(value.type)
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            _widen_attribute(attribute)


def _widen_attribute(attribute: AttributeProto) -> None:
    if attribute.name in TYPES and attribute.i in HALF:
        attribute.i = TensorProto.FLOAT
    if attribute.HasField("t"):
        _widen_tensor(attribute.t)


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in HALF:
        wide = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def _widen_type(kind: TypeProto) -> None:
    if kind.tensor_type.elem_type in HALF:
        kind.tensor_type.elem_type = TensorProto.FLOAT
