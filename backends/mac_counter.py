"""Counting the multiply-accumulates of whole networks, for a device that only counts.

Convolutions and matrix products count; the rest of a network is thought to be free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
    """One operator of a network: channels, and multiply-accumulates for the whole batch; `integers`
    where its weight is quantised."""

    in_channels: int
    out_channels: int
    macs: int
    integers: bool = False


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
    nodes = model.graph.node
    integers = {n.output[0] for n in nodes if n.op_type == "DequantizeLinear"}
    return [
        makers[n.op_type](n, shapes)._replace(integers=n.input[1] in integers)
        for n in nodes
        if n.op_type in makers
    ]


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
    """The convolutions and linear layers of a `torch.nn.Module`, in the order of their calls: also
    those whose weight is packed with others, or used in a functional call.

    They are seen in one execution, in eval mode, on random input. `MeasurementError` (stage
    `prepare`) if that fails.
    """
    import torch
    from torch.overrides import BaseTorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    from .modules import evaluating

    operators: list[Operator] = []

    class Gather(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            output = func(*args, **(kwargs or {}))
            if counted := COUNTED.get(func.name().partition(".")[0]):
                operators.append(counted(args, output))
            return output

    try:
        # The first mode keeps torch's transformer layers from computing in one piece.
        with evaluating(module), torch.no_grad(), BaseTorchFunctionMode(), Gather():  # type: ignore[no-untyped-call]
            module(*map(torch.from_numpy, all_made_up(specs)))
    except Exception as error:  # a user's module may raise anything
        raise MeasurementError(f"the module failed: {one_line(error)}", "prepare") from error
    return operators


def _matrices(args: Sequence[Any], _output: Any) -> Operator:
    rows, weight = args[-2:]
    deep, wide = weight.shape
    return Operator(deep, wide, len(rows) * deep * wide)


def _convolution(args: Sequence[Any], output: Any) -> Operator:
    image, weight, transposed = args[0], args[1], args[6]
    at = image if transposed else output
    positions = math.prod(at.shape) // at.shape[1]
    return Operator(image.shape[1], output.shape[1], positions * math.prod(weight.shape))


COUNTED: Mapping[str, Callable[[Sequence[Any], Any], Operator]] = {
    "aten::addmm": _matrices,
    "aten::mm": _matrices,
    "aten::convolution": _convolution,
}
"""What torch computes layers by, and what these are."""
