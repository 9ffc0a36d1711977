"""Operators that move, cut or join tensors."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .graph import Call, Operators, Refusal

OPERATORS = Operators()
PAD_MODES = {
    b"constant": "constant",
    b"reflect": "reflect",
    b"edge": "replicate",
    b"wrap": "circular",
}


@OPERATORS.converts("Reshape")
def _reshape(call: Call) -> Any:
    """Reshape to the shape that one run had, its first axis (the batch, or what it is folded
    into) left to follow from the rest."""
    shape = call.output_shape()
    if 0 in shape:
        raise Refusal("its result is empty")
    return call.run(torch.reshape, call[0], (-1, *shape[1:]) if shape else ())


def flatten(x: Tensor, axis: int) -> Tensor:
    """Return two axes: what lies before `axis`, and the rest."""
    return x.flatten(axis) if axis == 1 else x.reshape(math.prod(x.shape[:axis]), -1)


@OPERATORS.converts("Flatten")
def _flatten(call: Call) -> Any:
    axis = call.given.get("axis", 1)
    return call.run(flatten, call[0], axis=axis if axis >= 0 else axis + len(call.shape()))


def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Transpose in memory, too: what follows is timed on the layout it is timed on alone."""
    return x.permute(tuple(axes)).contiguous()


@OPERATORS.converts("Transpose")
def _transpose(call: Call) -> Any:
    axes = call.numbers("perm")
    if axes is None:
        raise Refusal("it has no perm")
    return call.run(transpose, call[0], tuple(axes))


@OPERATORS.converts("Squeeze")
def _squeeze(call: Call) -> Any:
    axes = call.numbers("axes", 1)
    return call.run(torch.squeeze, call[0], *([tuple(axes)] if axes else ()))


def unsqueeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Return `x` with axes of length 1; `axes` count in the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@OPERATORS.converts("Unsqueeze")
def _unsqueeze(call: Call) -> Any:
    return call.run(unsqueeze, call[0], tuple(call.numbers("axes", 1) or ()))


@OPERATORS.converts("Concat")
def _concat(call: Call) -> Any:
    return call.run(torch.cat, tuple(call.operands()), call.given.get("axis", 1))


def split_evenly(x: Tensor, count: int, axis: int) -> tuple[Tensor, ...]:
    """Return `count` parts; the last is smaller where the axis does not divide."""
    return torch.split(x, -(-x.shape[axis] // count), axis)


@OPERATORS.converts("Split")
def _split(call: Call) -> Any:
    axis, outputs = call.given.get("axis", 0), len(call.node.output)
    sizes = call.numbers("split", 1)
    if sizes is None:
        parts = call.run(split_evenly, call[0], count=outputs, axis=axis)
    else:
        parts = call.run(torch.split, call[0], tuple(sizes), axis)
    return [call.run(operator.getitem, parts, index) for index in range(outputs)]


def cut(x: Tensor, parts: Sequence[tuple[int, int, int, int]]) -> Tensor:
    """Return the parts, each (axis, start, end, step), as ONNX's Slice has them."""
    for axis, start, end, step in parts:
        index = [slice(None)] * x.ndim
        index[axis] = slice(start, end, step)
        x = x[tuple(index)]
    return x


@OPERATORS.converts("Slice")
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


def gather(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """Return the entries along an axis at the index, which may count from the end."""
    axis %= x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index)
    picked = x.index_select(axis, index.reshape(-1))
    return picked.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


@OPERATORS.converts("Gather")
def _gather(call: Call) -> Any:
    index, axis = call.known(1), call.given.get("axis", 0)
    if index is not None and index.ndim == 0:
        return call.run(torch.select, call[0], axis, int(index))
    return call.run(gather, call[0], call[1], axis=axis)


@OPERATORS.converts("Pad")
def _pad(call: Call) -> Any:
    pads, mode = call.numbers("pads", 1), call.given.get("mode", b"constant")
    if pads is None or mode not in PAD_MODES or call.has(3):
        raise Refusal(f"mode {mode.decode()}, or pads that are computed")
    value = call.given.get("value", 0.0)
    if call.has(2):
        value = float(call.constant(2, "value").reshape(-1)[0])
    half = len(pads) // 2
    turned = [n for axis in reversed(range(half)) for n in (pads[axis], pads[axis + half])]
    if mode != b"constant":  # torch knows these for axes of positions only
        of_positions = 2 * (half - 2)
        if any(turned[of_positions:]) or half not in (3, 4, 5):
            raise Refusal(f"mode {mode.decode()} on other than one to three axes of positions")
        return call.run(F.pad, call[0], tuple(turned[:of_positions]), mode=PAD_MODES[mode])
    return call.run(F.pad, call[0], tuple(turned), value=value)


def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return `x`, broadcast to a shape and by it."""
    together: Tensor = torch.broadcast_tensors(x, x.new_empty(()).expand(tuple(shape)))[0]  # type: ignore[no-untyped-call]
    return together


@OPERATORS.converts("Expand")
def _expand(call: Call) -> Any:
    shape = call.constant(1, "shape")
    return call.run(expand, call[0], tuple(int(n) for n in shape))


def depth_to_space(x: Tensor, size: int) -> Tensor:
    """Return blocks of channels as pixels (mode DCR)."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, size, size, channels // size**2, height, width)
    turned = parts.permute(0, 3, 4, 1, 5, 2)
    return turned.reshape(batch, channels // size**2, height * size, width * size)


@OPERATORS.converts("DepthToSpace")
def _depth_to_space(call: Call) -> Any:
    size = call.given["blocksize"]
    if call.given.get("mode", b"DCR") == b"CRD":
        return call.run(F.pixel_shuffle, call[0], size)
    return call.run(depth_to_space, call[0], size=size)


def space_to_depth(x: Tensor, size: int) -> Tensor:
    """Return blocks of pixels as channels."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // size, size, width // size, size)
    turned = parts.permute(0, 3, 5, 1, 2, 4)
    return turned.reshape(batch, channels * size**2, height // size, width // size)


@OPERATORS.converts("SpaceToDepth")
def _space_to_depth(call: Call) -> Any:
    return call.run(space_to_depth, call[0], size=call.given["blocksize"])
