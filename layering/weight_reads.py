"""Which layers' weights a network uses beside calling the layer: these cannot be replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class WeightReads(TorchFunctionMode):
    """Notes, while a module runs, the layers whose parameters are computed with elsewhere.

    A parameter that another module holds too (tied weights) may be used by that one.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self._owners = {id(p): one for one in layers for p in one.parameters(recurse=False)}
        self._running: list[nn.Module] = []
        self.found: set[nn.Module] = set()

    @contextmanager
    def of(self, module: nn.Module) -> Iterator[None]:
        """Watch the module while it runs."""
        hooks = [
            hook
            for part in module.modules()
            for hook in (
                part.register_forward_pre_hook(lambda one, _: self._running.append(one)),
                part.register_forward_hook(self._ended, always_call=True),
            )
        ]
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _ended(self, *_: Any) -> None:
        self._running.pop()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") != "__get__":  # the shape, the type: no numbers
            for given in (*args, *kwargs.values()):
                owner = self._owners.get(id(given)) if isinstance(given, Tensor) else None
                if owner is not None and not self._holds(given):
                    self.found.add(owner)
        return func(*args, **kwargs)

    def _holds(self, parameter: Tensor) -> bool:
        """Whether the module that runs now has that parameter itself."""
        own = self._running[-1].parameters(recurse=False) if self._running else ()
        return any(parameter is one for one in own)
