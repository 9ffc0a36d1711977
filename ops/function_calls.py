"""Calls of torch's functions, seen while a context is on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode


class FunctionCalls(TorchFunctionMode):
    """Sees every call of torch's functions and methods; a class of its own says what is done."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.called(func, args, kwargs or {})

    def called(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Return what the call is answered with. Calls made here are not seen again."""
        raise NotImplementedError
