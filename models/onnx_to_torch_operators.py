"""The operators that `onnx_to_torch` converts: `OPERATORS` is the documented set.

Each converter takes a `Call` (one ONNX node) and returns what `Call.run` or `Builder.layer`
made; a `Refusal` says why a node of a known type has no counterpart.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional as F

from . import onnx_to_torch_layers as layers
from .onnx_to_torch_graph import Call, Refusal
from .onnx_to_torch_resize import resize

Converter = Callable[[Call], Any]


def _unary(function: Callable[..., Any], **defaults: float) -> Converter:
    """One tensor in, one out; `defaults`: attributes, and what they are when left out."""

    def convert(call: Call) -> Any:
        settings = {name: call.given.get(name, value) for name, value in defaults.items()}
        return call.run(function, call[0], **settings)

    return convert


def _binary(function: Callable[..., Any]) -> Converter:
    def convert(call: Call) -> Any:
        if call.given.get("axis") is not None or call.given.get("broadcast"):
            raise Refusal("it broadcasts in the way of opset 6 and before")
        return call.run(function, _scalar(call, 0), _scalar(call, 1))

    return convert


def _scalar(call: Call, index: int) -> Any:
    """A Python number where a float constant holds only one: cheaper than a tensor."""
    value, other = call.known(index), call.known(1 - index)
    alone = value is not None and value.ndim <= 1 and value.size == 1 and other is None
    if alone and value is not None and value.dtype.kind == "f":
        return float(value.reshape(-1)[0])
    return call[index]


def _add(call: Call) -> Any:
    for one, two in ((0, 1), (1, 0)):
        name, made_by = call.node.input[one], call.builder.made_by(call.node.input[two])
        if made_by == "MatMul" and call.builder.stored(name) and _is_vector(call.known(one)):
            return layers.shift(call, two, name)
    return _binary(operator.add)(call)


def _is_vector(value: NDArray[Any] | None) -> bool:
    return value is not None and value.ndim == 1 and value.dtype.kind == "f"


def _many(function: Callable[[Any, Any], Any], mean: bool = False) -> Converter:
    """Any number of tensors, taken two by two."""

    def convert(call: Call) -> Any:
        first, *others = call.operands()
        for other in others:
            first = call.run(function, first, other)
        return call.run(operator.truediv, first, 1 + len(others)) if mean else first

    return convert


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(x * alpha + beta, 0, 1)


def flatten(x: Tensor, axis: int) -> Tensor:
    return x.flatten(axis) if axis == 1 else x.reshape(math.prod(x.shape[:axis]), -1)


def softmax_flat(x: Tensor, axis: int, log: bool) -> Tensor:
    """As before opset 13: over all axes from `axis` on together."""
    rows = x.flatten(axis)
    return (F.log_softmax if log else F.softmax)(rows, -1).reshape(x.shape)


def _softmax(log: bool) -> Converter:
    def convert(call: Call) -> Any:
        rank = len(call.shape())
        if call.opset >= 13:
            axis = call.given.get("axis", -1)
        else:
            axis = call.given.get("axis", 1) % rank
            if axis != rank - 1:
                return call.run(softmax_flat, call[0], axis=axis, log=log)
        return call.run(torch.log_softmax if log else torch.softmax, call[0], axis)

    return convert


def _clip(call: Call) -> Any:
    limits = []
    for index, name in ((1, "min"), (2, "max")):
        value = call.given.get(name)
        if value is None and call.has(index):
            value = float(call.constant(index, name).reshape(-1)[0])
        limits.append(value)
    if limits == [0.0, 6.0]:
        return call.run(F.relu6, call[0])
    return call[0] if limits == [None, None] else call.run(torch.clamp, call[0], *limits)


def _gelu(call: Call) -> Any:
    approximate = call.given.get("approximate", b"none").decode()
    return call.run(F.gelu, call[0], approximate=approximate)


def _dropout(call: Call) -> Any:
    return call[0]


DTYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.UINT8: torch.uint8,
}


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype)


def _cast(call: Call) -> Any:
    if call.given["to"] not in DTYPES:
        raise Refusal(f"it casts to {TensorProto.DataType.Name(call.given['to']).lower()}")
    return call.run(cast, call[0], dtype=DTYPES[call.given["to"]])


def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.reshape(shape)


def _reshape(call: Call) -> Any:
    """To the shape that one run had, its first axis (the batch, or what it is folded into)
    left to follow from the rest."""
    shape = call.output_shape()
    if 0 in shape:
        raise Refusal("its result is empty")
    return call.run(reshape, call[0], (-1, *shape[1:]) if shape else ())


def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
    """In memory, too: what follows is timed on the layout it is timed on alone."""
    return x.permute(tuple(axes)).contiguous()


def _transpose(call: Call) -> Any:
    axes = call.numbers("perm")
    if axes is None:
        raise Refusal("it has no perm")
    return call.run(transpose, call[0], tuple(axes))


def squeeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    return x.squeeze(tuple(axes))


def unsqueeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    """`axes` count in the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(call: Call) -> Any:
    axes = call.numbers("axes", 1)
    return call.run(squeeze, call[0], tuple(axes)) if axes else call.run(torch.squeeze, call[0])


def _unsqueeze(call: Call) -> Any:
    return call.run(unsqueeze, call[0], tuple(call.numbers("axes", 1) or ()))


def _flatten(call: Call) -> Any:
    axis = call.given.get("axis", 1)
    return call.run(flatten, call[0], axis=axis if axis >= 0 else axis + len(call.shape()))


def _concat(call: Call) -> Any:
    return call.run(torch.cat, tuple(call.operands()), call.given.get("axis", 1))


def _split(call: Call) -> Any:
    axis, outputs = call.given.get("axis", 0), len(call.node.output)
    sizes = call.numbers("split", 1)
    if sizes is None:
        parts = call.run(split_evenly, call[0], count=outputs, axis=axis)
    else:
        parts = call.run(torch.split, call[0], tuple(sizes), axis)
    return [call.run(operator.getitem, parts, index) for index in range(outputs)]


def split_evenly(x: Tensor, count: int, axis: int) -> tuple[Tensor, ...]:
    """The last part is smaller where the axis does not divide."""
    return torch.split(x, -(-x.shape[axis] // count), axis)


def _slice(call: Call) -> Any:
    starts, ends = call.numbers("starts", 1), call.numbers("ends", 2)
    if starts is None or ends is None:
        raise Refusal("it says no starts or ends")
    axes = call.numbers("axes", 3) or list(range(len(starts)))
    steps = call.numbers("steps", 4) or [1] * len(starts)
    if min(steps) < 1:
        raise Refusal("it has a negative step")
    parts = tuple(zip(axes, starts, ends, steps, strict=True))
    return call.run(cut, call[0], parts=parts)


def cut(x: Tensor, parts: Sequence[tuple[int, int, int, int]]) -> Tensor:
    """`parts`: (axis, start, end, step), as ONNX's Slice has them."""
    for axis, start, end, step in parts:
        index = [slice(None)] * x.ndim
        index[axis] = slice(start, end, step)
        x = x[tuple(index)]
    return x


def _gather(call: Call) -> Any:
    index, axis = call.known(1), call.given.get("axis", 0)
    if index is not None and index.ndim == 0:
        return call.run(torch.select, call[0], axis, int(index))
    return call.run(gather, call[0], call[1], axis=axis)


def gather(x: Tensor, index: Tensor, axis: int) -> Tensor:
    axis %= x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index)
    picked = x.index_select(axis, index.reshape(-1))
    return picked.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


PAD_MODES = {b"constant": "constant", b"reflect": "reflect", b"edge": "replicate"}


def _pad(call: Call) -> Any:
    pads, mode = call.numbers("pads", 1), call.given.get("mode", b"constant")
    if pads is None or mode not in PAD_MODES or call.has(3):
        raise Refusal(f"mode {mode.decode()}, or pads that are computed")
    value = call.given.get("value", 0.0)
    if call.has(2):
        value = float(call.constant(2, "value").reshape(-1)[0])
    half = len(pads) // 2
    turned = [n for axis in reversed(range(half)) for n in (pads[axis], pads[axis + half])]
    if mode != b"constant":  # torch knows these for the last two axes of four only
        if any(turned[4:]) or half != 4:
            raise Refusal(f"mode {mode.decode()} on other than the last two of four axes")
        return call.run(F.pad, call[0], tuple(turned[:4]), mode=PAD_MODES[mode])
    return call.run(F.pad, call[0], tuple(turned), value=value)


def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    together: Tensor = torch.broadcast_tensors(x, x.new_empty(()).expand(tuple(shape)))[0]  # type: ignore[no-untyped-call]
    return together


def _expand(call: Call) -> Any:
    shape = call.constant(1, "shape")
    return call.run(expand, call[0], tuple(int(n) for n in shape))


def _depth_to_space(call: Call) -> Any:
    size = call.given["blocksize"]
    if call.given.get("mode", b"DCR") == b"CRD":
        return call.run(F.pixel_shuffle, call[0], size)
    return call.run(depth_to_space, call[0], size=size)


def depth_to_space(x: Tensor, size: int) -> Tensor:
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, size, size, channels // size**2, height, width)
    turned = parts.permute(0, 3, 4, 1, 5, 2)
    return turned.reshape(batch, channels // size**2, height * size, width * size)


def space_to_depth(x: Tensor, size: int) -> Tensor:
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // size, size, width // size, size)
    turned = parts.permute(0, 3, 5, 1, 2, 4)
    return turned.reshape(batch, channels * size**2, height // size, width // size)


def _space_to_depth(call: Call) -> Any:
    return call.run(space_to_depth, call[0], size=call.given["blocksize"])


def _reduce(function: Callable[..., Tensor]) -> Converter:
    def convert(call: Call) -> Any:
        axes = call.numbers("axes", 1)
        if not axes and call.given.get("noop_with_empty_axes"):
            return call[0]
        keep = bool(call.given.get("keepdims", 1))
        return call.run(function, call[0], tuple(axes or ()), keep)

    return convert


def reduce_mean(x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
    return x.mean(tuple(axes) or tuple(range(x.ndim)), keepdim=keep)


def reduce_sum(x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
    return x.sum(tuple(axes) or tuple(range(x.ndim)), keepdim=keep)


def reduce_max(x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
    return x.amax(tuple(axes) or tuple(range(x.ndim)), keepdim=keep)


def reduce_min(x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
    return x.amin(tuple(axes) or tuple(range(x.ndim)), keepdim=keep)


def reduce_l2(x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
    return x.square().sum(tuple(axes) or tuple(range(x.ndim)), keepdim=keep).sqrt()


def global_mean(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def global_max(x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def _lrn(call: Call) -> Any:
    size = call.given["size"]
    if size % 2 == 0:
        raise Refusal("an even size")
    given = [call.given.get("alpha", 1e-4), call.given.get("beta", 0.75), call.given.get("bias", 1)]
    return call.run(F.local_response_norm, call[0], size, *given)


def _where(call: Call) -> Any:
    return call.run(torch.where, call[0], call[1], call[2])


OPERATORS: dict[str, Converter] = {
    # layers, and what holds weights
    "Conv": layers.conv,
    "ConvTranspose": layers.conv_transpose,
    "Gemm": layers.gemm,
    "MatMul": layers.matmul,
    "BatchNormalization": layers.batch_norm,
    "InstanceNormalization": layers.instance_norm,
    "LayerNormalization": layers.layer_norm,
    # pooling
    "MaxPool": layers.max_pool,
    "AveragePool": layers.average_pool,
    "GlobalAveragePool": _unary(global_mean),
    "GlobalMaxPool": _unary(global_max),
    # element by element
    "Relu": _unary(torch.relu),
    "LeakyRelu": _unary(layers.leaky_relu, alpha=0.01),
    "PRelu": _binary(prelu),
    "Elu": _unary(F.elu, alpha=1.0),
    "Sigmoid": _unary(torch.sigmoid),
    "HardSigmoid": _unary(hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": _unary(F.hardswish),
    "Tanh": _unary(torch.tanh),
    "Softplus": _unary(F.softplus),
    "Gelu": _gelu,
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Log": _unary(torch.log),
    "Sqrt": _unary(torch.sqrt),
    "Reciprocal": _unary(torch.reciprocal),
    "Abs": _unary(torch.abs),
    "Neg": _unary(torch.neg),
    "Floor": _unary(torch.floor),
    "Ceil": _unary(torch.ceil),
    "Clip": _clip,
    "Identity": _dropout,
    "Dropout": _dropout,
    "Cast": _cast,
    "Softmax": _softmax(log=False),
    "LogSoftmax": _softmax(log=True),
    "Add": _add,
    "Sub": _binary(operator.sub),
    "Mul": _binary(operator.mul),
    "Div": _binary(operator.truediv),
    "Pow": _binary(torch.pow),
    "Sum": _many(operator.add),
    "Mean": _many(operator.add, mean=True),
    "Max": _many(torch.maximum),
    "Min": _many(torch.minimum),
    "Where": _where,
    "LRN": _lrn,
    # shapes
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
    "Expand": _expand,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Resize": resize,
    "Upsample": resize,
    # reductions
    "ReduceMean": _reduce(reduce_mean),
    "ReduceSum": _reduce(reduce_sum),
    "ReduceMax": _reduce(reduce_max),
    "ReduceMin": _reduce(reduce_min),
    "ReduceL2": _reduce(reduce_l2),
}
"""By ONNX operator. Shape, Size, ConstantOfShape, Range and the like are not here: they are
worked out before, for the input's shape."""
