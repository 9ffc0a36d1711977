"""What a module does beside answering, seen while it runs once: draws random numbers, goes on from
what it kept, changes its inputs, chooses rows of tables with them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import ModelError
from ..inputs.examples import NetworkInputs
from ..integrity.values import attributes_of
from ..ops.function_calls import FunctionCalls
from .torch_outputs import answer_of, named_tensors

TABLES = ("embedding",)
"""Functions that choose rows of their second argument by their first."""


class Behaviour(FunctionCalls):
    """A context in which a module runs once on one batch of its inputs."""

    def __init__(self, module: nn.Module, inputs: NetworkInputs) -> None:
        super().__init__()
        self._module, self._read = module, inputs
        self._hooks = ExitStack()
        self._given: list[Tensor] = []
        self._versions: list[int] = []
        self._tables: dict[int, int] = {}
        self._changed = False

    def __enter__(self) -> Self:
        before = self._module.register_forward_pre_hook(self._begins, with_kwargs=True)
        after = self._module.register_forward_hook(self._ends)
        for hook in (before, after):
            self._hooks.callback(hook.remove)
        self._state, self._kept = _random_state(), _Kept(self._module)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._hooks.close()
        self._drew = _random_state() != self._state
        self._keeps = self._kept.changed()

    def _begins(self, _module: nn.Module, args: Any, kwargs: Any) -> None:
        self._given = [one for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        self._versions = [one._version for one in self._given]  # noqa: SLF001

    def _ends(self, *_: Any) -> None:
        self._changed = [one._version for one in self._given] != self._versions  # noqa: SLF001

    def called(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if getattr(func, "__name__", "") in TABLES and len(args) > 1:
            held = args[0].untyped_storage().data_ptr()
            for place, tensor in enumerate(self._given):
                if tensor.untyped_storage().data_ptr() == held:
                    rows = len(args[1])
                    self._tables[place] = min(rows, self._tables.get(place, rows))
        return func(*args, **kwargs)

    @property
    def inputs(self) -> NetworkInputs:
        """The inputs, with what was seen of them."""
        names = self._read.names
        tables = {names[place]: rows for place, rows in self._tables.items() if place < len(names)}
        return replace(self._read.limited(tables), changed=self._changed)

    def check(self) -> None:
        """Raise `ModelError` if the module answers otherwise each time that it runs."""
        if not (self._drew or self._keeps):
            return
        with torch.no_grad(), torch.random.fork_rng(devices=[]), _Drawing() as drawing:
            first, second = (self._answer() for _ in range(2))
        if any(not _same(one, second.get(name)) for name, one in first.items()):
            raise ModelError(
                "the network answers otherwise each time that it runs on the same input, in eval "
                f"mode, too: its forward pass {self._why(drawing.found)}"
            )

    def _why(self, drawing: Iterable[str]) -> str:
        if self._drew:
            how = f" ({', '.join(drawing)})" if drawing else ""
            return f"draws random numbers{how}; let it draw none there"
        return (
            f"goes on from what it kept of the one before ({', '.join(self._keeps)}); let it begin "
            "anew each time"
        )

    def _answer(self) -> dict[str, Tensor]:
        # Of noise, because dropout leaves zeros as they are.
        noise = self._read.noise(self._read.batch, seed=0)
        return named_tensors(self._module, answer_of(self._module, noise))


class _Kept:
    """What a module keeps in its buffers and attributes: whether a forward pass changes that."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._before = dict(_kept(module))

    def changed(self) -> list[str]:
        """Return the names of what is another now, or was changed in place."""
        after = dict(_kept(self._module))
        return [name for name, one in after.items() if not _is_same(one, self._before.get(name))]


def _kept(module: nn.Module) -> Iterator[tuple[str, tuple[Any, int]]]:
    """Yield each buffer and attribute with a number that grows when it is changed in place."""
    for path, part in module.named_modules():
        held = {**dict(part.named_buffers(recurse=False)), **attributes_of(part)}
        for name, value in held.items():
            yield f"{path}.{name}".lstrip("."), (value, _changes_of(value))


def _changes_of(value: Any) -> int:
    if isinstance(value, Tensor):
        return 0 if value.is_inference() else value._version  # noqa: SLF001
    return len(value) if isinstance(value, (list, dict, set, deque)) else 0


def _is_same(one: tuple[Any, int], before: tuple[Any, int] | None) -> bool:
    return before is not None and one[0] is before[0] and one[1] == before[1]


class _Drawing(FunctionCalls):
    """Notes the names of torch's functions that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, None] = {}

    def called(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        before = torch.get_rng_state()
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name and not torch.equal(before, torch.get_rng_state()):
            self.found[name] = None
        return result


def _random_state() -> tuple[bytes, object, bytes]:
    """Return how far the usual sources of random numbers are."""
    numbers = np.random.get_state()
    generated = torch.random.get_rng_state().numpy().tobytes()
    return generated, random.getstate(), repr(numbers).encode()


def _same(first: Tensor, second: Tensor | None) -> bool:
    if second is None or first.shape != second.shape:
        return False
    return torch.allclose(first, second, rtol=0, atol=0, equal_nan=first.is_floating_point())
