"""What the integers stand for that callers hold: contexts, streams, events, models and the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from .calls import Failed
from .clock import Stream, Task

FIRST_HANDLE, STEP = 0x5A00_0000_0000, 64
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Device:
    """`sets` counts `set_device`; `broken` is the code that all work gets until a reset."""

    number: int
    sets: int = 0
    default: Context | None = None
    broken: int = 0


@dataclass(slots=True, eq=False)
class Context:
    handle: int
    device: Device
    is_default: bool
    lives: bool = True
    default_stream: Stream = field(default_factory=lambda: Stream(0))
    streams: list[Stream] = field(default_factory=list)

    def all_streams(self) -> list[Stream]:
        return [self.default_stream, *self.streams]


@dataclass(slots=True, eq=False)
class Event:
    """`task` marks it as complete when its stream has come so far."""

    flags: int
    stream: Stream | None = None
    task: Task | None = None
    stamp_ns: float | None = None
    complete: bool = False


@dataclass(slots=True, eq=False)
class DataBuffer:
    pointer: int
    size: int


@dataclass(slots=True, eq=False)
class Dataset:
    buffers: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Description:
    """`model` is None until `get_desc` has filled it."""

    model: Any = None


class Handles:
    """Live objects by handle; handles are never used twice, so a destroyed one is known."""

    def __init__(self) -> None:
        self._next = FIRST_HANDLE
        self.live: dict[int, Any] = {}
        self.destroyed: dict[int, str] = {}

    def reserve(self) -> int:
        self._next += STEP
        return self._next

    def add(self, what: Any, handle: int | None = None) -> int:
        handle = self.reserve() if handle is None else handle
        self.live[handle] = what
        return handle

    def get(self, handle: int, kind: type[T], code: int) -> T:
        """Raises `Failed` with `code` for a handle that is destroyed or of another kind."""
        found = self.live.get(handle)
        if isinstance(found, kind):
            return found
        raise Failed(code, f"0x{handle:x} {self._history(handle, kind)}")

    def drop(self, handle: int) -> None:
        self.destroyed[handle] = name_of(self.live.pop(handle))

    def all(self, kind: type[T]) -> list[tuple[int, T]]:
        return [(handle, one) for handle, one in self.live.items() if isinstance(one, kind)]

    def clear(self) -> None:
        for handle in list(self.live):
            self.drop(handle)

    def _history(self, handle: int, kind: type[Any]) -> str:
        wanted = name_of(kind)
        if handle in self.destroyed:
            return f"is a {self.destroyed[handle]} that is already destroyed"
        if handle in self.live:
            return f"is a {name_of(self.live[handle])}, no {wanted}"
        return f"is no {wanted}"


def name_of(what: Any) -> str:
    """Of an object or of its class."""
    name = (what if isinstance(what, type) else type(what)).__name__
    known = {"DataBuffer": "data buffer", "Description": "model description"}
    return known.get(name, name.lower())
