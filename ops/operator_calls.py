"""Calls of torch's operators, seen while a context is on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class OperatorCalls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every call of an operator, also those that torch's functions make inside; a class of its
    own says what is done.

    `running` are the modules watched by `inside` that run now, the innermost last.
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running: list[nn.Module] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's own word for not loading its compiler, which takes over a second, to keep it away
        from code that nobody compiles."""
        return False

    @contextmanager
    def inside(self, parts: Iterable[nn.Module]) -> Iterator[None]:
        """See operators, and which of the parts run meanwhile."""
        hooks = [
            hook
            for part in parts
            for hook in (
                # First of the hooks: another may compute the weight (torch's weight norm).
                part.register_forward_pre_hook(self._begun, prepend=True),
                part.register_forward_hook(self._ended, always_call=True),
            )
        ]
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _begun(self, part: nn.Module, *_: Any) -> None:
        self.running.append(part)

    def _ended(self, *_: Any) -> None:
        self.running.pop()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.called(func, args, kwargs or {})

    def called(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return what the call is answered with. Calls made here are not seen again."""
        raise NotImplementedError
