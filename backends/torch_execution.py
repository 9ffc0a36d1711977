"""How a torch module is executed: in words that are part of a policy, and as callables.

An execution is `eager`, `compiled` (`torch.compile`) or `graph` (captured once, replayed),
with switches behind plus signs that change what is measured: `eager+channels_last`,
`graph+channels_last+cudnn_benchmark`.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch

from ..errors import BackendError

CHANNELS_LAST, CUDNN_BENCHMARK = "channels_last", "cudnn_benchmark"

CHANNELS_LAST_BY_AXES = {4: torch.channels_last, 5: torch.channels_last_3d}

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Execution:
    """`str()` gives the text that `of` reads; switches are sorted, so one text for one way."""

    way: str = "eager"
    switches: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str) -> Self:
        way, *switches = text.split("+")
        return cls(way, frozenset(switches))

    def __str__(self) -> str:
        return "+".join([self.way, *sorted(self.switches)])

    def require(self, backend: str, ways: tuple[str, ...], switches: tuple[str, ...]) -> None:
        """`BackendError` for a way or a switch that the device does not have."""
        if self.way not in ways:
            raise BackendError(
                f"{backend} does not do execution {self.way!r}, only {', '.join(ways)}"
            )
        for switch in sorted(self.switches - set(switches)):
            known = ", ".join(switches) or "none"
            raise BackendError(f"{backend} has no switch {switch!r} of execution, only {known}")

    @property
    def memory_format(self) -> torch.memory_format:
        last = CHANNELS_LAST in self.switches
        return torch.channels_last if last else torch.contiguous_format


def laid_out(tensor: torch.Tensor, memory_format: torch.memory_format) -> torch.Tensor:
    """Channels last where there are pictures or volumes; other tensors have no such notion."""
    if memory_format == torch.channels_last:
        memory_format = CHANNELS_LAST_BY_AXES.get(tensor.dim(), torch.contiguous_format)
    return tensor.contiguous(memory_format=memory_format)


def with_layout(module: torch.nn.Module, memory_format: torch.memory_format) -> torch.nn.Module:
    """The module, changed: its weights laid out as what they are applied to."""
    for tensor in itertools.chain(module.parameters(), module.buffers()):
        tensor.data = laid_out(tensor.data, memory_format)
    return module


def compiled(module: Callable[..., Any], whole: bool) -> Callable[..., Any]:
    """`torch.compile` for one module that is to stay compiled.

    Dynamo keeps what it compiled by code object, and after eight it quietly runs the rest
    eagerly; all `nn.Sequential` share one. So every module is called from a code object of
    its own. `whole` refuses a graph in pieces.
    """

    def step(*inputs: torch.Tensor) -> Any:
        return module(*inputs)

    code = step.__code__.replace(co_name=f"step_{next(_numbers)}")
    own = types.FunctionType(code, step.__globals__, code.co_name, None, step.__closure__)
    return torch.compile(own, dynamic=False, fullgraph=whole)


@contextmanager
def nothing_compiles() -> Iterator[None]:
    """A compilation in the middle of a timing is an error, not a long execution."""
    with torch.compiler.set_stance("fail_on_recompile"):
        yield
