"""Layers in the place of parameters that a network uses in functional calls alone.

Torch asks what it is given in a tensor's place for `__torch_function__`, which answers the call as
the layer does: no code of the network changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..ops.einsums import exchanged

PRODUCTS = ("matmul", "__matmul__", "mm")
CONVOLUTION = ("stride", "padding", "dilation", "groups")
TRANSPOSED = ("stride", "padding", "output_padding", "groups", "dilation")
SETTINGS = ("equation", "alpha", "beta", *TRANSPOSED)
"""Arguments that a layer has once and for all."""
NAMES: Mapping[str, Sequence[str]] = {
    "linear": ("input", "weight", "bias"),
    **{f"conv{axes}d": ("input", "weight", "bias", *CONVOLUTION) for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": ("input", "weight", "bias", *TRANSPOSED) for axes in (1, 2, 3)},
    **dict.fromkeys(PRODUCTS, ("input", "weight")),
    "addmm": ("bias", "input", "weight"),
    "einsum": ("equation", "input", "weight"),
}
"""The functions that become layers, with the names of their arguments."""


@dataclass(frozen=True, slots=True)
class Call:
    """How a parameter is a weight: in which function, turned round before (`w.T`), with which
    settings; `shape` is the parameter's own."""

    function: str
    turned: bool
    settings: Mapping[str, Any]
    shape: torch.Size


class CalledForWeight:
    """Makes a layer answer a functional call that is given the layer in its weight's place.

    `call` is how the network used the parameter when it was read; any other use is refused. None
    where nobody knows (of a file), so that every call is answered.
    """

    call: Call | None = None
    before: Sequence[nn.Module] = ()
    after: Sequence[nn.Module] = ()
    """What comes round a linear layer, where several axes of its rows are one of the product."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _answered(func, args, kwargs or {})

    @property
    def T(self) -> Turned:  # noqa: N802
        return Turned(self)

    mT = T  # noqa: N815

    def t(self) -> Turned:
        return Turned(self)

    def transpose(self, dim0: int, dim1: int) -> Turned:
        return torch.transpose(self, dim0, dim1)  # type: ignore[arg-type, return-value]

    @property
    def shape(self) -> torch.Size:
        """That of the parameter."""
        return self.weight.shape if self.call is None else self.call.shape  # type: ignore[attr-defined]

    def size(self, dim: int | None = None) -> torch.Size | int:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return len(self.shape)

    ndim = property(dim)

    @property
    def dtype(self) -> torch.dtype:
        return self.weight.dtype  # type: ignore[attr-defined, no-any-return]

    @property
    def device(self) -> torch.device:
        return self.weight.device  # type: ignore[attr-defined, no-any-return]


class Turned:
    """A layer in the place of its weight turned round (`w.T`)."""

    def __init__(self, layer: CalledForWeight) -> None:
        self.layer = layer

    __torch_function__ = CalledForWeight.__torch_function__


class CalledLinear(CalledForWeight, nn.Linear):
    """A linear layer in its weight's place."""


CONVOLUTIONS: Mapping[str, type[Any]] = {
    name: type(f"Called{kind.__name__}", (CalledForWeight, kind), {})
    for name, kind in {
        **{f"conv{axes}d": getattr(nn, f"Conv{axes}d") for axes in (1, 2, 3)},
        **{f"conv_transpose{axes}d": getattr(nn, f"ConvTranspose{axes}d") for axes in (1, 2, 3)},
    }.items()
}
"""Convolutions in their weight's place, by the function."""


TURNED = tuple(getattr(Tensor, name).__get__ for name in ("T", "mT"))


def turns(func: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Whether a function turns its first argument, a matrix, round."""
    if func in TURNED:
        return True
    name = getattr(func, "__name__", "")
    return name == "t" or (name == "transpose" and len({one % 2 for one in args[1:]}) == 2)


def arguments(
    func: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    is_weight: Callable[[Any], bool],
) -> dict[str, Any]:
    """Return a call's arguments by name; by number where the function is none of `NAMES`. The
    weight of an Einstein sum may come first: its equation is then that of the other order."""
    name = getattr(func, "__name__", "")
    if name == "einsum" and len(args) == 3 and is_weight(args[1]):
        args = (exchanged(args[0]), args[2], args[1])
    named = NAMES.get(name, [])
    names = [*named, *(str(number) for number in range(len(named), len(args)))]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a call's arguments that a layer has once and for all."""
    return {name: given[name] for name in SETTINGS if name in given}


def _answered(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if args and isinstance(args[0], CalledForWeight) and turns(func, args):
        return Turned(args[0])
    given = arguments(func, args, kwargs, lambda one: isinstance(one, (CalledForWeight, Turned)))
    weight = given.get("weight")
    layer = weight.layer if isinstance(weight, Turned) else weight
    if not isinstance(layer, CalledForWeight):
        return NotImplemented
    _require_seen(layer, func.__name__, layer is not weight, settings_of(given))
    rows = given["input"]
    for step in (*layer.before, layer, *layer.after):
        rows = step(rows)  # type: ignore[operator]
    return rows


def _require_seen(
    layer: CalledForWeight, function: str, turned: bool, settings: Mapping[str, Any]
) -> None:
    seen = layer.call
    if seen and (seen.function, seen.turned, seen.settings) != (function, turned, settings):
        raise ModelError(
            f"a parameter of shape {tuple(seen.shape)} is used in {function} otherwise than when "
            f"the network was read (in {seen.function}): the layer in its place cannot answer that"
        )
