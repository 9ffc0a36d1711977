"""Operators that work element by element."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional as F

from .graph import Call, Converter, Operators, Refusal
from .layers import shift

OPERATORS = Operators()
DTYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.UINT8: torch.uint8,
}


def _unary(function: Callable[..., Any], **defaults: float) -> Converter:
    """Convert one tensor in, one out; `defaults`: attributes, and their values when left out."""

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
    """Return a Python number for a constant that holds only one: cheaper than a tensor."""
    value, other = call.known(index), call.known(1 - index)
    alone = value is not None and value.ndim <= 1 and value.size == 1 and other is None
    if alone and value is not None and value.dtype.kind == "f":
        return float(value.reshape(-1)[0])
    return call[index]


@OPERATORS.converts("Add")
def _add(call: Call) -> Any:
    for one, two in ((0, 1), (1, 0)):
        name, made_by = call.node.input[one], call.builder.made_by(call.node.input[two])
        if made_by == "MatMul" and call.builder.stored(name) and _is_vector(call.known(one)):
            return shift(call, two, name)
    return _binary(operator.add)(call)


def _is_vector(value: NDArray[Any] | None) -> bool:
    return value is not None and value.ndim == 1 and value.dtype.kind == "f"


def _many(function: Callable[[Any, Any], Any], mean: bool = False) -> Converter:
    """Convert any number of tensors, taken two by two."""

    def convert(call: Call) -> Any:
        first, *others = call.operands()
        for other in others:
            first = call.run(function, first, other)
        return call.run(operator.truediv, first, 1 + len(others)) if mean else first

    return convert


def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    """Return `x`, scaled by `alpha` where it is negative."""
    return F.leaky_relu(x, alpha)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Return `x`, scaled by `slope` where it is negative."""
    return torch.where(x < 0, x * slope, x)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    """Return a sigmoid made of three straight lines."""
    return torch.clamp(x * alpha + beta, 0, 1)


def softmax_flat(x: Tensor, axis: int, log: bool) -> Tensor:
    """Return the softmax over all axes from `axis` on together, as before opset 13."""
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


@OPERATORS.converts("Clip")
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


@OPERATORS.converts("Gelu")
def _gelu(call: Call) -> Any:
    approximate = call.given.get("approximate", b"none").decode()
    return call.run(F.gelu, call[0], approximate=approximate)


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `x` as another type."""
    return x.to(dtype)


@OPERATORS.converts("Cast")
def _cast(call: Call) -> Any:
    if call.given["to"] not in DTYPES:
        raise Refusal(f"it casts to {TensorProto.DataType.Name(call.given['to']).lower()}")
    return call.run(cast, call[0], dtype=DTYPES[call.given["to"]])


OPERATORS.update(
    Identity=operator.itemgetter(0),
    Dropout=operator.itemgetter(0),
    Where=lambda call: call.run(torch.where, call[0], call[1], call[2]),
    Relu=_unary(torch.relu),
    LeakyRelu=_unary(leaky_relu, alpha=0.01),
    PRelu=_binary(prelu),
    Elu=_unary(F.elu, alpha=1.0),
    Sigmoid=_unary(torch.sigmoid),
    HardSigmoid=_unary(hard_sigmoid, alpha=0.2, beta=0.5),
    HardSwish=_unary(F.hardswish),
    Tanh=_unary(torch.tanh),
    Softplus=_unary(F.softplus),
    Erf=_unary(torch.erf),
    Exp=_unary(torch.exp),
    Log=_unary(torch.log),
    Sqrt=_unary(torch.sqrt),
    Reciprocal=_unary(torch.reciprocal),
    Abs=_unary(torch.abs),
    Neg=_unary(torch.neg),
    Floor=_unary(torch.floor),
    Ceil=_unary(torch.ceil),
    Softmax=_softmax(log=False),
    LogSoftmax=_softmax(log=True),
    Sub=_binary(operator.sub),
    Mul=_binary(operator.mul),
    Div=_binary(operator.truediv),
    Pow=_binary(torch.pow),
    Sum=_many(operator.add),
    Mean=_many(operator.add, mean=True),
    Max=_many(torch.maximum),
    Min=_many(torch.minimum),
)
