"""Which layers' weights a network uses beside calling the layer: these cannot be replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..ops.function_calls import FunctionCalls


class WeightReads(FunctionCalls):
    """Notes, while a module runs, the layers whose parameters are computed with elsewhere.

    A parameter that another module holds too (tied weights) may be used by that one.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self._computing = [one for one in layers if "weight" in vars(one)]
        self._owners = {id(p): one for one in layers for p in _own_parameters(one)}
        self._running: list[nn.Module] = []
        self.found: set[nn.Module] = set()

    @contextmanager
    def of(self, module: nn.Module) -> Iterator[None]:
        """Watch the module while it runs."""
        hooks = [
            hook
            for part in module.modules()
            for hook in (
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
        """First of the hooks: another may compute the weight (`torch.nn.utils.weight_norm`)."""
        self._running.append(part)

    def _ended(self, *_: Any) -> None:
        self._running.pop()

    def called(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if getattr(func, "__name__", "") != "__get__":  # the shape, the type: no numbers
            for given in (*args, *kwargs.values()):
                owner = self._owner(given) if isinstance(given, Tensor) else None
                if owner is None or owner in self._running:
                    continue
                if not self._holds(given):
                    self.found.add(owner)
        return func(*args, **kwargs)

    def _owner(self, given: Tensor) -> nn.Module | None:
        """The layer whose parameter that is, or whose weight, where hooks compute it."""
        computed = (one for one in self._computing if vars(one)["weight"] is given)
        return self._owners.get(id(given)) or next(computed, None)

    def _holds(self, parameter: Tensor) -> bool:
        """Whether the module that runs now has that parameter itself."""
        own = self._running[-1].parameters(recurse=False) if self._running else ()
        return any(parameter is one for one in own)


def _own_parameters(layer: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the layer's parameters, and those that its own are computed from."""
    yield from layer.parameters(recurse=False)
    if parametrize.is_parametrized(layer):
        yield from layer.parametrizations.parameters()  # type: ignore[union-attr]
