"""Parameters that a network uses in functional calls alone (`F.linear(x, self.weight)`), as layers.

Such a layer stands where its parameter stood. Torch asks what it is given in a tensor's place for
`__torch_function__`, which answers the call as the layer does: no code of the network changes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .attention import linear_with

LAYERS = (
    *(nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase),
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
"""Modules that are layers themselves, also those of other packages that derive from them."""
PRODUCTS = ("matmul", "__matmul__")
CONVOLUTION = ("stride", "padding", "dilation", "groups")
NAMES: Mapping[str, Sequence[str]] = {
    "linear": ("input", "weight", "bias"),
    "conv2d": ("input", "weight", "bias", *CONVOLUTION),
    **dict.fromkeys(PRODUCTS, ("input", "weight")),
}
"""The functions that become layers, with the names of their arguments."""


class CalledForWeight:
    """Makes a layer answer a functional call that is given the layer in its weight's place."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = _arguments(func, args, kwargs or {})
        layer = given.get("weight")
        if not (isinstance(layer, cls) and isinstance(layer, nn.Module)):
            return NotImplemented
        return layer(given["input"])


class CalledLinear(CalledForWeight, nn.Linear):
    """A linear layer in its weight's place."""


class CalledConv2d(CalledForWeight, nn.Conv2d):
    """A convolution in its weight's place."""


@dataclass(slots=True)
class _Uses:
    """`calls`: the arguments of the functions that had a parameter as their weight, after the
    function's name; `others`: whether it was used in any other way."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    others: bool = False


class _Watch(TorchFunctionMode):
    """Notes how parameters are used."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__()
        self.uses = {id(one): _Uses() for one in parameters}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = _arguments(func, args, kwargs or {})
        for name, one in given.items():
            uses = self.uses.get(id(one))
            if uses is not None and name == "weight":
                uses.calls.append((func.__name__, given))
            elif uses is not None and name != "bias":
                uses.others = True
        return func(*args, **(kwargs or {}))


def _arguments(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a call's arguments by name; by number where the function is none of `NAMES`."""
    names = NAMES.get(getattr(func, "__name__", ""), [str(number) for number in range(len(args))])
    return {**dict(zip(names, args, strict=False)), **kwargs}


def called_layers(module: nn.Module, run: Callable[[nn.Module], Any]) -> dict[str, nn.Module]:
    """Return a layer for each parameter of single precision that is only used as the weight of
    functional calls, always with the same bias and settings, by the parameter's name."""
    own = {
        id(parameter): (name, parameter)
        for path, part in module.named_modules()
        if not isinstance(part, LAYERS) and not type(part).__module__.startswith("torch.")
        for name, parameter in part.named_parameters(path, recurse=False)
        if parameter.dtype == torch.float32 and parameter.dim() in (2, 4)
    }
    if not own:
        return {}
    with _Watch(parameter for _, parameter in own.values()) as watch, torch.no_grad():
        run(module)
    every = [id(one) for _, one in module.named_parameters(remove_duplicate=False)]
    made = {
        name: _layer(watch.uses[key], parameter)
        for key, (name, parameter) in own.items()
        if every.count(key) == 1
    }
    return {name: layer for name, layer in made.items() if layer is not None}


def with_called(module: nn.Module, layers: Mapping[str, nn.Module]) -> nn.Module:
    """Return a copy that shares parameters and buffers, with layers in the place of the parameters
    of their names."""
    shared: dict[int, Any] = {id(one): one for one in (*module.parameters(), *module.buffers())}
    made: nn.Module = copy.deepcopy(module, shared)
    for name, layer in layers.items():
        path, _, own = name.rpartition(".")
        owner = made.get_submodule(path)
        delattr(owner, own)
        owner.add_module(own, layer)
    return made


def _layer(uses: _Uses, weight: Tensor) -> nn.Module | None:
    if uses.others or not uses.calls:
        return None
    func, given = uses.calls[0]
    bias = given.get("bias")
    settings = {name: given[name] for name in CONVOLUTION if name in given}
    for other, arguments in uses.calls:
        same = all(arguments.get(name) == given.get(name) for name in CONVOLUTION)
        if other != func or not same or arguments.get("bias") is not bias:
            return None
    if bias is not None and not isinstance(bias, nn.Parameter):
        return None  # computed anew in every call
    if func == "conv2d":
        return _convolution(weight, bias, settings)
    if weight.dim() != 2:
        return None
    return linear_with(weight.T if func in PRODUCTS else weight, bias, CalledLinear).eval()


def _convolution(weight: Tensor, bias: Tensor | None, settings: dict[str, Any]) -> nn.Module:
    channels = weight.shape[1] * settings.get("groups", 1), weight.shape[0]
    kernel = (weight.shape[2], weight.shape[3])
    with torch.device("meta"):  # no numbers are drawn
        made = CalledConv2d(*channels, kernel, bias=bias is not None, **settings)
    made.weight = nn.Parameter(weight.detach(), weight.requires_grad)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach(), bias.requires_grad)
    return made.eval()
