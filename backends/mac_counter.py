"""Counting the multiply-accumulates of whole networks, for a device that only counts.

Convolutions and matrix products count; the rest of a network is thought to be free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import MeasurementError
from ..ops.made_up import InputSpec, all_made_up
from .network_file import fix_inputs, read_network, unreadable
from .validation import one_line

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Shapes = dict[str, tuple[int, ...]]


class Operator(NamedTuple):
    """One operator of a network: channels, and multiply-accumulates for the whole batch."""

    in_channels: int
    out_channels: int
    macs: int


def operators_in_file(path: Path, specs: Sequence[InputSpec]) -> list[Operator]:
    """The Conv, ConvTranspose, Gemm and MatMul nodes of an ONNX file, in its order.

    Shapes of the inputs replace symbolic sizes. `MeasurementError` (stage `prepare`) if the file
    cannot be read, its inputs are others, or shapes cannot be inferred.
    """
    import onnx

    model = read_network(path)
    fix_inputs(model, specs)
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # of the checker, of shape inference
        raise unreadable(path, error) from error
    shapes = _shapes(model)
    makers = {"Conv": _conv, "ConvTranspose": _transposed, "Gemm": _gemm, "MatMul": _matmul}
    return [makers[n.op_type](n, shapes) for n in model.graph.node if n.op_type in makers]


def _shapes(model: ModelProto) -> Shapes:
    graph = model.graph
    values = (*graph.input, *graph.value_info, *graph.output)
    inferred = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in values
    }
    return inferred | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    shape = shapes.get(name, ())
    if not shape or 0 in shape:
        raise MeasurementError(f"the shape of {name!r} cannot be inferred", "prepare")
    return shape


def _conv(node: NodeProto, shapes: Shapes) -> Operator:
    image, weight, output = (
        _shape(shapes, name) for name in (node.input[0], node.input[1], node.output[0])
    )
    return Operator(image[1], weight[0], math.prod(weight) * output[0] * math.prod(output[2:]))


def _transposed(node: NodeProto, shapes: Shapes) -> Operator:
    image, weight, output = (
        _shape(shapes, name) for name in (node.input[0], node.input[1], node.output[0])
    )
    return Operator(image[1], output[1], math.prod(weight) * image[0] * math.prod(image[2:]))


def _gemm(node: NodeProto, shapes: Shapes) -> Operator:
    rows, wide = _shape(shapes, node.output[0])
    deep = math.prod(_shape(shapes, node.input[1])) // wide
    return Operator(deep, wide, rows * deep * wide)


def _matmul(node: NodeProto, shapes: Shapes) -> Operator:
    deep, output = _shape(shapes, node.input[0])[-1], _shape(shapes, node.output[0])
    return Operator(deep, output[-1], deep * math.prod(output))


def operators_in_module(module: Any, specs: Sequence[InputSpec]) -> list[Operator]:
    """The convolutions and linear layers of a `torch.nn.Module`, in the order of their calls.

    They are seen in one execution, in eval mode, on random input. `MeasurementError` (stage
    `prepare`) if that fails.
    """
    import torch

    from ..ops.torch_modules import CONVOLUTIONS, TRANSPOSED
    from .modules import evaluating

    operators: list[Operator] = []

    def gather(part: Any, inputs: Any, output: Any) -> None:
        operators.append(_called(part, inputs[0].shape, output.shape))

    kinds = (*CONVOLUTIONS.values(), *TRANSPOSED.values(), torch.nn.Linear)
    parts = [part for part in module.modules() if isinstance(part, kinds)]
    hooks = [part.register_forward_hook(gather) for part in parts]
    try:
        with evaluating(module), torch.inference_mode():
            module(*map(torch.from_numpy, all_made_up(specs)))
    except Exception as error:  # a user's module may raise anything
        raise MeasurementError(f"the module failed: {one_line(error)}", "prepare") from error
    finally:
        for hook in hooks:
            hook.remove()
    return operators


def _called(part: Any, given: Sequence[int], output: Sequence[int]) -> Operator:
    deep = getattr(part, "in_channels", None) or part.in_features
    wide = getattr(part, "out_channels", None) or part.out_features
    # A transposed convolution meets its whole kernel once for each of its inputs' positions.
    transposed = getattr(part, "transposed", False)
    positions = math.prod(given) // deep if transposed else math.prod(output) // wide
    return Operator(deep, wide, math.prod(part.weight.shape) * positions)
