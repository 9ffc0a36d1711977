"""A module turned into an equal one, in which layers of torch's compute what it computes with
parameters of its own: these can be read, watched and replaced.

Turned are `nn.MultiheadAttention` (its packed projections, `LayeredAttention`), modules that
compute a linear layer with a transposed weight (`Conv1D` of transformers' GPT-2), and parameters
that are used in functional calls (`functional_calls`).
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import BaseTorchFunctionMode

from .attention import PACKED, SEPARATE, SHARED, LayeredAttention, linear_with
from .functional_calls import called_layers, with_called
from .hooks import copy_hooks
from .overrides import computes_as
from .replaced_layer import leave_fast_paths

CLOSE = 1e-4
"""Relative difference up to which two modules compute the same."""
ROWS = 3
TRANSPOSED = "Conv1D"

Call = tuple[tuple[Any, ...], dict[str, Any]]


def layered(module: nn.Module, run: Callable[[nn.Module], Any]) -> nn.Module:
    """Return the module in its layered form, which shares its parameters and buffers: itself where
    there is nothing to turn. `run` runs a module once on its inputs.

    A part of which the turned form does not answer as it does is left as it is; so are all, if the
    whole does not run with them.
    """
    turned = {id(part): new for part, new in _turned(module, run)}
    made = _if_it_runs(with_parts(module, turned), module, run) if turned else module
    called = called_layers(made, run)
    return _if_it_runs(with_called(made, called), made, run) if called else made


def _if_it_runs(
    made: nn.Module, otherwise: nn.Module, run: Callable[[nn.Module], Any]
) -> nn.Module:
    try:
        run(made)
    except Exception:  # the network's own code, which may ask its parts for anything
        return otherwise
    return made


def opened(module: nn.Module, layered_form: nn.Module, names: Iterable[str]) -> nn.Module:
    """Return the module with those parts turned inside which the named layers are: itself, if these
    are parts of it as it is."""
    turned: dict[int, nn.Module] = {}
    for name in names:
        for path in ("", *accumulate(name.split(".")[:-1], "{}.{}".format)):
            old, new = module.get_submodule(path), layered_form.get_submodule(path)
            if type(old) is not type(new):
                turned[id(old)] = new
                break
    base = with_parts(module, turned) if turned else module
    parameters = dict(base.named_parameters())
    called = {name: layered_form.get_submodule(name) for name in names if name in parameters}
    return with_called(base, called) if called else base


def with_parts(module: nn.Module, turned: Mapping[int, nn.Module]) -> nn.Module:
    """Return a copy that shares parameters and buffers, with new modules in the place of those
    whose `id` they are listed under."""
    shared: dict[int, Any] = {id(one): one for one in (*module.parameters(), *module.buffers())}
    memo = {**shared, **turned}
    made: nn.Module = copy.deepcopy(module, memo)
    for part in module.modules():
        if id(part) in turned:
            copy_hooks(part, memo)
    leave_fast_paths(made)
    return made


def _turned(
    module: nn.Module, run: Callable[[nn.Module], Any]
) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Yield the parts that can be turned, each with what it becomes."""
    parts = list(module.modules())
    for part in parts:
        if type(part).__name__ == TRANSPOSED and (new := _transposed(part)) is not None:
            yield part, new
    attentions = [part for part in parts if _is_attention(part)]
    for part, calls in _calls(module, attentions, run).items() if attentions else ():
        assert isinstance(part, nn.MultiheadAttention)
        new = LayeredAttention(part, _form(part, calls))
        if all(_equal_attention(part, new, call) for call in calls):
            yield part, new


def _transposed(part: nn.Module) -> nn.Module | None:
    """Return the linear layer that a module with a weight (in, out) is; None if it is none."""
    own = dict(part.named_parameters(recurse=False))
    weight, bias = own.get("weight"), own.get("bias")
    if weight is None or weight.dim() != 2 or weight.dtype != torch.float32:
        return None
    new = linear_with(weight.T, bias)
    noise = _noise(torch.empty(ROWS, len(weight)))
    return new if _equal(part.forward, new.forward, (noise,)) else None


def _is_attention(part: nn.Module) -> bool:
    """Whether it is torch's own attention with plain weights of single precision."""
    if not isinstance(part, nn.MultiheadAttention):
        return False
    out, own = part.out_proj, dict(part.named_parameters(recurse=False))
    plain = "weight" in dict(out.named_parameters()) and computes_as(out, nn.Linear)
    packed = "in_proj_weight" in own or {"q_proj_weight", "v_proj_weight"} <= own.keys()
    single = all(one.dtype == torch.float32 for one in part.parameters())
    return plain and packed and single and computes_as(part, nn.MultiheadAttention)


def _calls(
    module: nn.Module, parts: Iterable[nn.Module], run: Callable[[nn.Module], Any]
) -> dict[nn.Module, list[Call]]:
    """Run the module and return how each of the parts was called, if it was."""
    calls: dict[nn.Module, list[Call]] = {}

    def note(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.setdefault(part, []).append((args, kwargs))

    with ExitStack() as hooks:
        for part in parts:
            hooks.enter_context(part.register_forward_pre_hook(note, with_kwargs=True))
        # A mode keeps torch's transformer layers from computing with their parts' weights.
        with BaseTorchFunctionMode(), torch.no_grad():
            run(module)
    return calls


def _form(part: nn.MultiheadAttention, calls: Iterable[Call]) -> tuple[str, ...]:
    """Return the projections that serve all calls."""
    given = [_arguments(part, call) for call in calls]
    if part.in_proj_weight is None or any(one["key"] is not one["value"] for one in given):
        return SEPARATE
    return SHARED if any(one["query"] is not one["key"] for one in given) else PACKED


def _arguments(part: nn.Module, call: Call) -> dict[str, Any]:
    return inspect.signature(part.forward).bind(*call[0], **call[1]).arguments


def _equal_attention(part: nn.Module, new: nn.Module, call: Call) -> bool:
    """Whether both answer alike on noise of the call's shapes, with the call's masks."""
    arguments = _arguments(part, call)
    inputs = {id(arguments[name]): arguments[name] for name in ("query", "key", "value")}
    noise = {one: _noise(tensor) for one, tensor in inputs.items()}
    given = {name: noise.get(id(one), one) for name, one in arguments.items()}
    return _equal(partial(part.forward, **given), partial(new.forward, **given), ())


def _noise(like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(like.shape, generator=generator)


def _equal(old: Callable[..., Any], new: Callable[..., Any], given: tuple[Tensor, ...]) -> bool:
    with torch.no_grad():
        try:
            answers = [one(*given) for one in (old, new)]
        except Exception:  # not what it looked like
            return False
    first, second = (one if isinstance(one, tuple) else (one,) for one in answers)
    return len(first) == len(second) and all(map(_close, first, second))


def _close(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    scale = float(one.nan_to_num().abs().max()) if one.numel() else 0.0
    same = one.shape == other.shape
    return same and torch.allclose(one, other, rtol=0, atol=CLOSE * scale, equal_nan=True)
