"""Copies of torch modules, whatever they keep of earlier calls or compute their weights from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

from ..errors import ModelError, first_line
from ..ops.function_calls import FunctionCalls

HOOKS = "_forward_pre_hooks"
NORMS = (WeightNorm, SpectralNorm)
"""Torch's hooks of before there were parametrizations: they compute `weight` before each call."""


class _ComputedAsValues(FunctionCalls):
    """While it is on, a tensor that was computed with a gradient is copied as a value.

    Torch refuses to copy those. A module keeps some of them as plain attributes: the weight that
    `torch.nn.utils.weight_norm` computes anew before each call, or what it remembers of a call.
    """

    def called(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **kwargs)


def copied(module: nn.Module, memo: dict[int, object] | None = None) -> nn.Module:
    """Return a deep copy; `memo` as `copy.deepcopy` takes it. Raises `ModelError` if there cannot
    be one."""
    memo = {} if memo is None else memo
    lazy = [one for one in module.buffers() if nn.parameter.is_lazy(one)]
    memo |= {id(one): _not_made_yet(one) for one in lazy}
    try:
        with _ComputedAsValues():
            return copy.deepcopy(module, memo)
    except Exception as error:
        raise ModelError(f"the network cannot be copied: {first_line(error)}") from error


def _not_made_yet(buffer: Any) -> Any:
    """Return another buffer without a shape, as lazy modules have them: torch cannot copy one."""
    kind: Any = type(buffer)
    return kind(buffer.requires_grad, buffer.device, buffer.dtype, buffer.persistent)


def folded(module: nn.Module) -> nn.Module:
    """Return the module, or a copy, with plain weights where they are computed before each call.

    The chain in a layer's place computes no weights: an original that does would be timed with
    work that nobody needs for inference, and that would count as a gain of the plan.
    """
    if not any(_computes_weights(part) for part in module.modules()):
        return module
    made = copied(module)
    for part in list(made.modules()):
        for hook in list(_norms(part)):
            remove = remove_weight_norm if isinstance(hook, WeightNorm) else remove_spectral_norm
            remove(part, hook.name)
        if parametrize.is_parametrized(part):
            part.__class__ = _class_of_its_own(type(part))
            for name in list(part.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(part, name)
    return made


def _class_of_its_own(kind: type) -> type:
    """Return an equal class: torch keeps the computed weight as a property of the class that a
    module shares with its copies, and to remove it from one would remove it from all."""
    shared = ("__dict__", "__weakref__")
    return type(
        kind.__name__, kind.__bases__, {k: v for k, v in vars(kind).items() if k not in shared}
    )


def _computes_weights(part: nn.Module) -> bool:
    return parametrize.is_parametrized(part) or any(_norms(part))


def _norms(part: nn.Module) -> Iterator[Any]:
    """Yield torch's old normalisations of the part's own parameters."""
    return (hook for hook in getattr(part, HOOKS).values() if isinstance(hook, NORMS))
