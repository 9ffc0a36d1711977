"""ONNX nodes that are layers, or pools: as torch modules and functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops.torch_modules import CONVOLUTIONS, padded_kind, torch_pads, transposed_kind
from ..onnx_layers import same_padding
from ..onnx_transposed import transposed_spec
from ..torch_layers import Shift
from .graph import Call, Operators, Origin, Refusal

OPERATORS = Operators()
BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def window(call: Call, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return (strides, dilations, padding before, padding after), `auto_pad` worked out."""
    rank = len(kernel)
    strides = call.numbers("strides") or [1] * rank
    dilations = call.numbers("dilations") or [1] * rank
    mode = call.given.get("auto_pad", b"NOTSET").decode()
    if mode in ("NOTSET", "VALID"):
        pads = call.numbers("pads") if mode == "NOTSET" else None
        pads = pads or [0] * (2 * rank)
        return strides, dilations, pads[:rank], pads[rank:]
    size = call.shape()[2:]
    both = [
        same_padding(size[axis], kernel[axis], strides[axis], dilations[axis], mode == "SAME_UPPER")
        for axis in range(rank)
    ]
    return strides, dilations, [before for before, _ in both], [after for _, after in both]


def _meta(kind: Any, *sizes: Any, **settings: Any) -> nn.Module:
    """Return a module whose weights are still to be filled in."""
    module: nn.Module = kind(*sizes, **settings, device="meta")
    return module


@OPERATORS.converts("Conv")
def _conv(call: Call) -> Any:
    weight = call.constant(1, "weight")
    rank, groups = weight.ndim - 2, call.given.get("group", 1)
    if rank not in CONVOLUTIONS:
        raise Refusal(f"{rank} axes of positions")
    strides, dilations, before, after = window(call, weight.shape[2:])
    kind, padding = padded_kind([*before, *after])
    module = _meta(
        kind,
        weight.shape[1] * groups,
        weight.shape[0],
        weight.shape[2:],
        stride=tuple(strides),
        dilation=tuple(dilations),
        groups=groups,
        bias=call.has(2),
        **padding,
    )
    return _filled(call, module, call[0])


@OPERATORS.converts("ConvTranspose")
def _conv_transpose(call: Call) -> Any:
    weight = call.constant(1, "weight")
    if weight.ndim - 2 not in CONVOLUTIONS:
        raise Refusal(f"{weight.ndim - 2} axes of positions")
    spec = transposed_spec(call.given, weight.shape, call.shape(), call.has(2))
    steps = [max(pair) for pair in zip(spec.stride, spec.dilation, strict=True)]
    kind, padding = transposed_kind(spec.padding, spec.output_padding, steps)
    module = _meta(
        kind,
        spec.in_channels,
        spec.out_channels,
        spec.kernel_size,
        stride=spec.stride,
        dilation=spec.dilation,
        groups=spec.groups,
        bias=spec.bias,
        **padding,
    )
    return _filled(call, module, call[0])


def _filled(call: Call, module: Any, operand: Any, transposed: bool = False) -> Any:
    """Give the module the node's weight and bias, and call it with the operand."""
    builder, names = call.builder, call.node.input
    origins = {"weight": Origin(names[1], transposed)}
    module.weight = builder.parameter(names[1], transposed)
    if call.has(2):
        module.bias = _bias(call, module.weight.shape)
        origins["bias"] = Origin(names[2])
    return builder.layer(call.node, module, operand, **origins)


def _bias(call: Call, weight_shape: Sequence[int]) -> nn.Parameter:
    """Return a vector for the layer; Gemm's may be a row, or one number for all outputs."""
    bias = call.constant(2, "bias")
    if call.node.op_type != "Gemm" or bias.shape == (weight_shape[0],):
        return call.builder.parameter(call.node.input[2])
    wide = torch.from_numpy(bias.copy()).reshape(-1).expand(weight_shape[0])
    return nn.Parameter(wide.clone())


@OPERATORS.converts("Gemm")
def _gemm(call: Call) -> Any:
    weight, bias = call.known(1), call.known(2)
    scaled = any(call.given.get(name, 1.0) != 1.0 for name in ("alpha", "beta"))
    vector = not call.has(2) or (bias is not None and all(n == 1 for n in bias.shape[:-1]))
    if weight is None or scaled or call.given.get("transA") or not vector:
        return _general_gemm(call)
    turned = bool(call.given.get("transB"))
    outputs, inputs = weight.shape if turned else weight.shape[::-1]
    module = _meta(nn.Linear, inputs, outputs, bias=call.has(2))
    return _filled(call, module, call[0], transposed=not turned)


def _general_gemm(call: Call) -> Any:
    alpha, beta = (float(call.given.get(name, 1.0)) for name in ("alpha", "beta"))
    turns = [bool(call.given.get(name)) for name in ("transA", "transB")]
    third = call[2] if call.has(2) else None
    return call.run(general_gemm, call[0], call[1], third, alpha, beta, *turns)


def general_gemm(
    a: Tensor, b: Tensor, c: Tensor | None, alpha: float, beta: float, turn_a: bool, turn_b: bool
) -> Tensor:
    """Return alpha a b + beta c, as ONNX's Gemm."""
    product = (a.T if turn_a else a) @ (b.T if turn_b else b) * alpha
    return product if c is None else product + beta * c


@OPERATORS.converts("MatMul")
def _matmul(call: Call) -> Any:
    weight = call.known(1)
    if weight is None or weight.ndim != 2 or weight.dtype.kind != "f":
        return call.run(torch.matmul, call[0], call[1])
    module = _meta(nn.Linear, weight.shape[0], weight.shape[1], bias=False)
    return _filled(call, module, call[0], transposed=True)


@OPERATORS.converts("Einsum")
def _einsum(call: Call) -> Any:
    operands = [call[place] for place in range(len(call.node.input))]
    return call.run(torch.einsum, call.given["equation"].decode(), *operands)


def shift(call: Call, operand: int, bias: str) -> Any:
    """Convert an Add of a vector to a MatMul's output: a bias, which is learnt as any other."""
    module = Shift(call.builder.parameter(bias))
    return call.builder.layer(call.node, module, call[operand], bias=Origin(bias))


@OPERATORS.converts("BatchNormalization")
def _batch_norm(call: Call) -> Any:
    if call.given.get("training_mode") or call.given.get("spatial", 1) != 1:
        raise Refusal("training mode, or statistics for each position")
    names = call.node.input
    channels = call.constant(1, "scale").shape[0]
    momentum = 1 - call.given.get("momentum", 0.9)
    epsilon = call.given.get("epsilon", 1e-5)
    rank = len(call.shape())
    if rank not in BATCH_NORMS:
        raise Refusal(f"an input of {rank} axes")
    module: Any = BATCH_NORMS[rank](channels, eps=epsilon, momentum=momentum)
    keys = ("weight", "bias", "running_mean", "running_var")
    for index, key in enumerate(keys, 1):
        value = call.constant(index, key)
        if key in ("weight", "bias"):
            setattr(module, key, call.builder.parameter(names[index]))
        else:
            getattr(module, key).copy_(torch.from_numpy(value.copy()))
    origins = {key: Origin(names[index]) for index, key in enumerate(keys, 1)}
    return call.builder.layer(call.node, module, call[0], **origins)


@OPERATORS.converts("InstanceNormalization")
def _instance_norm(call: Call) -> Any:
    scale = call.constant(1, "scale")
    kind = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}.get(len(call.shape()))
    if kind is None:
        raise Refusal(f"an input of {len(call.shape())} axes")
    module: Any = kind(scale.shape[0], eps=call.given.get("epsilon", 1e-5), affine=True)
    return _filled(call, module, call[0])


@OPERATORS.converts("LayerNormalization")
def _layer_norm(call: Call) -> Any:
    rank, axis = len(call.shape()), call.given.get("axis", -1)
    shape = call.shape()[axis % rank :]
    scale = call.constant(1, "scale")
    if tuple(scale.shape) != tuple(shape) or len(call.node.output) > 1:
        raise Refusal("a scale of another shape than what is normalised, or several outputs")
    epsilon = call.given.get("epsilon", 1e-5)
    module: Any = nn.LayerNorm(shape, eps=epsilon, bias=call.has(2))
    return _filled(call, module, call[0])


@OPERATORS.converts("MaxPool")
def _max_pool(call: Call) -> Any:
    kernel = call.numbers("kernel_shape") or []
    if len(kernel) not in MAX_POOLS or len([name for name in call.node.output if name]) > 1:
        raise Refusal("it gives indices, or has more than three axes")
    strides, dilations, before, after = window(call, kernel)
    operand = call[0]
    if before != after or any(2 * pad > size for pad, size in zip(before, kernel, strict=True)):
        operand = call.run(F.pad, operand, torch_pads([*before, *after]), value=-math.inf)
        before = [0] * len(kernel)
    return call.run(
        MAX_POOLS[len(kernel)],
        operand,
        tuple(kernel),
        tuple(strides),
        tuple(before),
        tuple(dilations),
        bool(call.given.get("ceil_mode", 0)),
    )


@OPERATORS.converts("AveragePool")
def _average_pool(call: Call) -> Any:
    kernel = call.numbers("kernel_shape") or []
    strides, dilations, before, after = window(call, kernel)
    ceil, counted = bool(call.given.get("ceil_mode", 0)), bool(call.given.get("count_include_pad"))
    if len(kernel) not in AVERAGE_POOLS or any(n != 1 for n in dilations):
        raise Refusal("dilations, or more than three axes")
    if ceil and (counted or before != after):
        raise Refusal("ceil_mode with padding that counts, or differs between opposite sides")
    pool, sizes = AVERAGE_POOLS[len(kernel)], (tuple(kernel), tuple(strides))
    even = before == after and all(2 * p <= n for p, n in zip(before, kernel, strict=True))
    if even:
        return call.run(pool, call[0], *sizes, tuple(before), ceil, counted)
    padded = call.run(F.pad, call[0], torch_pads([*before, *after]))
    if counted:
        return call.run(pool, padded, *sizes)
    return call.run(_uneven_average, call[0], pads=torch_pads([*before, *after]), sizes=sizes)


def _uneven_average(x: Tensor, pads: Sequence[int], sizes: tuple[Any, Any]) -> Tensor:
    """Return means over what is no padding, where opposite sides are padded differently."""
    pool = AVERAGE_POOLS[x.ndim - 2]
    inside = F.pad(torch.ones_like(x[:1, :1]), tuple(pads))
    return pool(F.pad(x, tuple(pads)), *sizes) / pool(inside, *sizes)
