"""Which parts of a module run for nothing: no answer depends on what they compute.

Exporters leave such parts out, and so may whoever runs the module: all of their time can be saved,
and any decomposition saves only a piece of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..ops.function_calls import FunctionCalls
from ..ops.operator_calls import OperatorCalls

LEAVING = frozenset({"numpy", "__array__", "tolist", "data_ptr", "__dlpack__"})
"""Functions whose result nobody can follow: what they are given counts as used."""

NOWHERE = 0


class Dependence(OperatorCalls):
    """Follows what parts of a module compute, by the memory in which it lies, while it runs.

    In doubt a part is used: where memory is shared, where a number decides what is computed
    further, and where tensors leave torch.
    """

    def __init__(self, parts: Iterable[nn.Module]) -> None:
        super().__init__()
        self._parts = list(parts)
        self._sources: dict[int, frozenset[nn.Module]] = {}
        self._ran: set[nn.Module] = set()
        self._used: set[nn.Module] = set()

    @contextmanager
    def of(self, module: nn.Module, answered: Callable[[Any], Iterable[Tensor]]) -> Iterator[None]:
        """Follow the module while it runs; `answered` gives the tensors of its answer."""
        with ExitStack() as stack:
            for part in self._parts:
                hook = part.register_forward_hook(
                    lambda one, _, output: self._computed(one, output)
                )
                stack.callback(hook.remove)
            hook = module.register_forward_hook(lambda *call: self._use(answered(call[-1])))
            stack.callback(hook.remove)
            stack.enter_context(_Leaving(self._use))
            stack.enter_context(self)
            yield

    @property
    def unused(self) -> set[nn.Module]:
        """The parts that ran for nothing."""
        return self._ran - self._used

    def _computed(self, part: nn.Module, output: Any) -> None:
        self._ran.add(part)
        for place in map(_memory, _tensors(output)):
            self._sources[place] = self._at(place) | {part}

    def _use(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            self._used |= self._at(_memory(tensor))

    def _at(self, place: int) -> frozenset[nn.Module]:
        return self._sources.get(place, frozenset())

    def called(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        out = func(*args, **kwargs)
        given = {_memory(one) for one in _tensors((args, kwargs))}
        sources = frozenset[nn.Module]().union(*map(self._at, given))
        made = {_memory(one) for one in _tensors(out)}
        if not made:
            self._used |= sources  # a number, which may decide anything
        for place in made:
            # What has new memory depends on nothing that lay there before.
            old = place in given or place == NOWHERE
            self._sources[place] = sources | self._at(place) if old else sources
        if func._schema.is_mutable:  # noqa: SLF001
            self._sources |= {place: sources | self._at(place) for place in given}
        return out


class _Leaving(FunctionCalls):
    """Counts what leaves torch as used."""

    def __init__(self, use: Callable[[Iterable[Tensor]], None]) -> None:
        super().__init__()
        self._use = use

    def called(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if getattr(func, "__name__", "") in LEAVING:
            self._use(_tensors((args, kwargs)))
        return func(*args, **kwargs)


def _tensors(values: Any) -> list[Tensor]:
    return [one for one in pytree.tree_leaves(values) if isinstance(one, Tensor)]


def _memory(tensor: Tensor) -> int:
    """Return where a tensor's numbers begin; `NOWHERE` for one of a layout without such a place."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return NOWHERE
