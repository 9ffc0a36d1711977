"""Which parameters a network uses in functional calls alone (`F.linear(x, self.weight)`), and the
layers that stand where they stood (`called_layers`)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..ops.einsums import LinearSum, linear_sum
from ..ops.function_calls import FunctionCalls
from .attention import linear_with
from .called_layers import (
    CONVOLUTIONS,
    Call,
    CalledForWeight,
    CalledLinear,
    arguments,
    settings_of,
    turns,
)

LAYERS = (
    *(nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase),
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
"""Modules that are layers themselves, also those of other packages that derive from them."""
LOOKS = (
    *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim")),
    *(Tensor.size, Tensor.dim),
)
"""What a layer answers as its parameter did."""


@dataclass(slots=True)
class _Uses:
    """`calls`: how a parameter was a weight, and with which bias; `others`: whether it was used in
    any other way."""

    calls: list[tuple[Call, Tensor | None]] = field(default_factory=list)
    others: bool = False


class _Watch(FunctionCalls):
    """Notes how parameters are used."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__()
        self.uses = {id(one): _Uses() for one in parameters}
        self._turned: dict[int, tuple[Tensor, Tensor]] = {}
        """By `id`: a parameter turned round, kept so that the `id` stays its own; the parameter."""

    def called(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        result = func(*args, **kwargs)
        first: Any = args[0] if args else None
        if id(first) in self.uses and first.dim() == 2 and turns(func, args):
            self._turned[id(result)] = (result, first)
        elif func not in LOOKS:
            self._note(func, arguments(func, args, kwargs, self._known))
        return result

    def _known(self, one: Any) -> bool:
        return id(one) in self.uses or id(one) in self._turned

    def _note(self, func: Callable[..., Any], given: Mapping[str, Any]) -> None:
        for name, one in given.items():
            if not self._known(one) or name == "bias":
                continue
            _, parameter = self._turned.get(id(one), (one, one))
            uses = self.uses[id(parameter)]
            if name == "weight":
                settings, turned = settings_of(given), parameter is not one
                call = Call(func.__name__, turned, settings, parameter.shape)
                uses.calls.append((call, given.get("bias")))
            else:
                uses.others = True


def called_layers(module: nn.Module, run: Callable[[nn.Module], Any]) -> dict[str, nn.Module]:
    """Return a layer for each parameter of single precision that is only used as the weight of
    functional calls, always with the same bias and settings, by the parameter's name."""
    own = {
        id(parameter): (name, parameter)
        for path, part in module.named_modules()
        if not isinstance(part, LAYERS) and not type(part).__module__.startswith("torch.")
        for name, parameter in part.named_parameters(path, recurse=False)
        if parameter.dtype == torch.float32 and parameter.dim() in range(2, 6)
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
        put_for_parameter(made, name, layer)
    return made


def put_for_parameter(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of the parameter of that name (changes the module)."""
    path, _, own = name.rpartition(".")
    owner = module.get_submodule(path)
    delattr(owner, own)
    owner.add_module(own, layer)


def _layer(uses: _Uses, weight: Tensor) -> nn.Module | None:
    if uses.others or not uses.calls:
        return None
    call, bias = uses.calls[0]
    if any(other != call or given is not bias for other, given in uses.calls):
        return None
    if bias is not None and not isinstance(bias, nn.Parameter):
        return None  # computed anew in every call
    make = _convolution if call.function in CONVOLUTIONS else _linear
    layer = make(call, weight, bias)
    if layer is None:
        return None
    layer.call = call
    assert isinstance(layer, nn.Module)
    return layer.eval()


def _convolution(call: Call, weight: Tensor, bias: Tensor | None) -> CalledForWeight | None:
    groups, kernel = call.settings.get("groups", 1), tuple(weight.shape[2:])
    channels = [weight.shape[0], weight.shape[1] * groups]
    kind = CONVOLUTIONS[call.function]
    if call.turned:
        return None
    into, out = channels if "transpose" in call.function else reversed(channels)
    with torch.device("meta"):  # no numbers are drawn
        made = kind(into, out, kernel, bias=bias is not None, **call.settings)
    made.weight = nn.Parameter(weight.detach(), weight.requires_grad)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach(), bias.requires_grad)
    assert isinstance(made, CalledForWeight)
    return made


def _linear(call: Call, weight: Tensor, bias: Tensor | None) -> CalledForWeight | None:
    if call.function == "einsum":
        return None if call.turned else _summed(call, weight)
    if weight.dim() != 2 or "alpha" in call.settings or "beta" in call.settings:
        return None
    turned = call.turned == (call.function == "linear")
    return _called_linear(weight.T if turned else weight, bias)


def _called_linear(matrix: Tensor, bias: Tensor | None) -> CalledLinear:
    layer = linear_with(matrix, bias, CalledLinear)
    assert isinstance(layer, CalledLinear)
    return layer


def _summed(call: Call, weight: Tensor) -> CalledForWeight | None:
    found = linear_sum(call.settings["equation"], weight.shape)
    if found is None:
        return None
    matrix = weight.permute(found.matrix_axes).reshape(found.matrix_shape)
    if matrix.data_ptr() != weight.data_ptr():
        return None  # its numbers would be others' once the network is trained
    layer = _called_linear(matrix, None)
    layer.before, layer.after = _round(found)
    return layer


def _round(found: LinearSum) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return what makes one axis of those that are summed, and several of the result's last."""
    before: list[nn.Module] = [nn.Flatten(-len(found.inputs), -1)]
    after: list[nn.Module] = [nn.Unflatten(-1, found.outputs)]
    return before[: len(found.inputs) - 1], after[: len(found.outputs) - 1]
