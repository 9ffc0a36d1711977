"""Operators that reduce axes, and the normalisation over neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from .graph import Call, Converter, Operators, Refusal

OPERATORS = Operators()


def _reduce(how: str) -> Converter:
    def convert(call: Call) -> Any:
        axes = call.numbers("axes", 1)
        if not axes and call.given.get("noop_with_empty_axes"):
            return call[0]
        keep = bool(call.given.get("keepdims", 1))
        return call.run(reduce, call[0], how, tuple(axes or ()), keep)

    return convert


def reduce(x: Tensor, how: str, axes: Sequence[int], keep: bool) -> Tensor:
    """Return `x` reduced over `axes`, or over all, by a tensor's method, or to Euclidean norms."""
    axes = tuple(axes) or tuple(range(x.ndim))
    if how == "l2":
        return x.square().sum(axes, keepdim=keep).sqrt()
    reduced: Tensor = getattr(x, how)(axes, keepdim=keep)
    return reduced


def global_pool(x: Tensor, how: str) -> Tensor:
    """Return `x` reduced over all axes but batch and channels."""
    return reduce(x, how, tuple(range(2, x.ndim)), keep=True)


@OPERATORS.converts("LRN")
def _lrn(call: Call) -> Any:
    size = call.given["size"]
    if size % 2 == 0:
        raise Refusal("an even size")
    given = [call.given.get("alpha", 1e-4), call.given.get("beta", 0.75), call.given.get("bias", 1)]
    return call.run(F.local_response_norm, call[0], size, *given)


OPERATORS.update(
    ReduceMean=_reduce("mean"),
    ReduceSum=_reduce("sum"),
    ReduceMax=_reduce("amax"),
    ReduceMin=_reduce("amin"),
    ReduceL2=_reduce("l2"),
    GlobalAveragePool=lambda call: call.run(global_pool, call[0], "mean"),
    GlobalMaxPool=lambda call: call.run(global_pool, call[0], "amax"),
)
