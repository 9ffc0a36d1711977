"""Forward hooks of a module that is replaced."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


def copy_hooks(layer: nn.Module, memo: dict[int, Any]) -> None:
    """Give copies of the layer's forward hooks to the module that `memo` has for it."""
    give_hooks(layer, memo[id(layer)], lambda hook: copy.deepcopy(hook, memo))


def give_hooks(
    layer: nn.Module, heir: nn.Module, made: Callable[[Any], Any] = lambda hook: hook
) -> None:
    """Give `heir` what is `made` of the layer's forward hooks.

    torch's own (weight norm) are left out: they compute the weights that have gone.
    """
    for kind in HOOKS:
        for key, hook in getattr(layer, kind).items():
            if not type(hook).__module__.startswith("torch.nn.utils"):
                getattr(heir, kind)[key] = made(hook)
