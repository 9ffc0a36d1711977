"""Listening to layers while a network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def hooked(
    module: nn.Module, paths: Iterable[str], told: Callable[[str, Tensor], Tensor | None]
) -> Iterator[None]:
    """What layers at the paths answer is told, and replaced by what comes back."""

    def hook(path: str) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
        return lambda _module, _inputs, outputs: told(path, outputs)

    handles = [module.get_submodule(path).register_forward_hook(hook(path)) for path in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
