"""The convolutions and linear layers of an ONNX file, for a device that only counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, helper, shape_inference

from ..errors import MeasurementError
from ..records import LayerSpec


def links_of_file(path: Path, input_shape: Sequence[int]) -> list[LayerSpec]:
    """A spec with the right multiply-accumulates for each Conv, Gemm and MatMul node.

    Every output position of a batch counts as one example's. `MeasurementError` (stage
    `prepare`) if the file cannot be read or its shapes cannot be inferred.
    """
    try:
        model = onnx.load(path)
        _fix_input(model, input_shape)
        graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except Exception as error:  # of protobuf, of the checker, of shape inference
        raise MeasurementError(f"{path.name} cannot be read: {error}", "prepare") from error
    shapes = {value.name: _dims(value) for value in (*graph.input, *graph.value_info)}
    shapes |= {value.name: _dims(value) for value in graph.output}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    makers = {"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}
    return [makers[n.op_type](n, shapes) for n in graph.node if n.op_type in makers]


def _fix_input(model: onnx.ModelProto, input_shape: Sequence[int]) -> None:
    """Replace symbolic sizes by the ones that are timed."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, input_shape, strict=True):
        dim.dim_value = size


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _conv(node: NodeProto, shapes: dict[str, list[int]]) -> LayerSpec:
    weight, output = shapes[node.input[1]], shapes[node.output[0]]
    groups = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "group"), 1)
    # Rows of all examples of the batch one above the other: a kernel of the true size over an
    # image that yields exactly the output's positions.
    height, width = output[0] * output[2], output[3]
    kernel = weight[2], weight[3]
    image = (weight[1] * groups, height + kernel[0] - 1, width + kernel[1] - 1)
    return _spec("conv2d", weight[1] * groups, weight[0], image, kernel, groups)


def _gemm(node: NodeProto, shapes: dict[str, list[int]]) -> LayerSpec:
    rows, wide = shapes[node.output[0]]
    deep = _product(shapes[node.input[1]]) // wide
    return _spec("linear", deep, wide, (rows, deep))


def _matmul(node: NodeProto, shapes: dict[str, list[int]]) -> LayerSpec:
    left, output = shapes[node.input[0]], shapes[node.output[0]]
    rows = _product(output) // output[-1]
    return _spec("linear", left[-1], output[-1], (rows, left[-1]))


def _spec(
    op: Any,
    deep: int,
    wide: int,
    shape: tuple[int, ...],
    kernel: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> LayerSpec:
    return LayerSpec(op, deep, wide, shape, kernel, groups=groups, bias=False)


def _product(numbers: Sequence[int]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result
