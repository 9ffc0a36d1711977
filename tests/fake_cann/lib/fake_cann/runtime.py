"""The state of one process's CANN, and what is told about it in the end."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

from .calls import Failed
from .clock import Clock, Stream, sleep_until
from .codes import CHIPS, UNUSABLE, Chip
from .faults import Faults
from .handles import Context, Device, Handles, name_of
from .memory import Memory
from .models import Model, Outputs
from .settings import NO_CHIP, Settings, next_number, write_report


class Runtime:
    """Bodies of calls work on this. Everything is guarded by `lock`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.clock, self.memory, self.handles = Clock(), Memory(), Handles()
        self.ordinal = next_number(settings, "processes")
        self.faults = Faults.parse(settings.faults, self.ordinal)
        self.forgiven: set[tuple[str, tuple[Any, ...]]] = set()
        self.next_is_stuck = False
        self.initialised, self.references, self.config = False, 0, ""
        self.finalised = self.ended = False
        self.devices: dict[int, Device] = {}
        self.current: dict[int, Context] = {}
        self.models: dict[int, Model] = {}
        self.unloaded: list[Model] = []
        self.outputs = Outputs(self.memory)
        self.violations: list[str] = []
        self.calls: dict[str, int] = {}
        self.trace: list[Any] = []
        self._errors: dict[int, str] = {}
        self._jitter = random.Random(f"jitter/{self.ordinal}")

    # -- what calls ask for ------------------------------------------------------------

    @property
    def chip(self) -> Chip | None:
        return None if self.settings.soc == NO_CHIP else CHIPS[self.settings.soc]

    @property
    def total_bytes(self) -> int:
        chip = self.chip
        return self.settings.memory_bytes or ((chip.gib if chip else 32) << 30)

    def free_bytes(self, device: int) -> int:
        models = sum(m.om.memory_bytes for m in self.models.values() if m.device == device)
        return self.total_bytes - self.memory.used(device) - models

    def context(self) -> Context:
        """The calling thread's. Raises `Failed` (107002): behaviour 7."""
        context = self.current.get(threading.get_ident())
        if context is None or not context.lives:
            raise Failed(107002, "EE1001: this thread has no context; call set_device first")
        return context

    def make_current(self, context: Context) -> None:
        self.current[threading.get_ident()] = context

    def stream(self, handle: int) -> Stream:
        """0 is the default stream. Behaviours 9 (107003) and 10 (107017)."""
        context = self.context()
        if not handle:
            return context.default_stream
        stream = self.handles.get(handle, Stream, 107017)
        if stream not in context.streams:
            raise Failed(107003, "EE1001: the stream is not of the current context")
        return stream

    def break_device(self, code: int) -> None:
        context = self.current.get(threading.get_ident())
        if context is not None and code in UNUSABLE:
            context.device.broken = code

    def lose_work(self) -> None:
        """Of this thread's context: it never ends, and nobody is to blame for it."""
        context = self.current.get(threading.get_ident())
        for stream in context.all_streams() if context is not None else []:
            stream.abandon()

    def duration_factor(self) -> float:
        jitter = self.settings.jitter
        return self._jitter.lognormvariate(0.0, jitter) if jitter else 1.0

    def wait(self, real_ns: float) -> None:
        """Let the host really wait, with the lock open, as the binding opens the GIL (B)."""
        if self.settings.host_wait:
            self.unlocked(sleep_until, real_ns)

    def unlocked(self, do: Callable[..., object], *args: Any) -> None:
        self.lock.release()
        try:
            do(*args)
        finally:
            self.lock.acquire()

    # -- what is told ------------------------------------------------------------------

    def violation(self, text: str) -> None:
        """A broken rule that the real thing would not have answered with a code."""
        if text not in self.violations:
            self.violations.append(text)

    def remember_error(self, call: str, code: int, text: str) -> None:
        self._errors[threading.get_ident()] = f"{call} returned {code}: {text}"

    def last_error(self) -> str | None:
        """Text of this thread's last error, once."""
        return self._errors.pop(threading.get_ident(), None)

    def note(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if self.settings.trace:
            shown = [f"<{len(a)} bytes>" if isinstance(a, bytes) else repr(a) for a in args]
            self.trace.append([name, shown, repr(result)[:200]])

    def leaks(self) -> list[str]:
        """Everything alive that somebody has to give back."""
        found = [
            f"{block.kind}: {block.size} bytes at 0x{block.base:x}"
            for block in self.memory.blocks.values()
        ]
        found += [f"model {number}: {model.path}" for number, model in self.models.items()]
        found += [
            f"{name_of(one)} 0x{handle:x}"
            for handle, one in self.handles.live.items()
            if not (isinstance(one, Context) and one.is_default)
        ]
        sets = [device for device in self.devices.values() if device.sets]
        return found + [f"device {d.number}: {d.sets} set_device without a reset" for d in sets]

    def record(self) -> dict[str, Any]:
        """What `reports()` gives of this process, as it is now."""
        every = [*self.unloaded, *self.models.values()]
        return {
            "initialised": self.initialised,
            "leaks": self.leaks(),
            "violations": list(self.violations),
            "calls": dict(self.calls),
            "faults": [list(fault) for fault in self.faults.fired],
            "models": [model.told() for model in every],
            "trace": list(self.trace),
        }

    def begin(self) -> None:
        self.initialised, self.references = True, 1
        write_report(self.settings, "start", ordinal=self.ordinal)

    def finalise(self) -> None:
        """Behaviour 4: lists what is alive, then forgets it; the process may go on."""
        write_report(self.settings, "finalize", **self.record())
        self.initialised, self.finalised, self.references = False, True, 0
        self._forget()

    def _forget(self) -> None:
        """What was reported once is not reported at the process's end again."""
        self.unloaded += self.models.values()
        self.models.clear()
        for context in (context for _, context in self.handles.all(Context)):
            context.lives = False
        self.outputs.clear()
        self.handles.clear()
        self.memory.clear()
        self.devices.clear()
        self.current.clear()

    def process_ends(self) -> None:
        """At the interpreter's exit, or at the end of the test that had it."""
        if self.ended:
            return
        self.ended = True
        record = self.record()
        if self.initialised:
            record["leaks"].append("acl.init without a finalize")
        write_report(self.settings, "exit", **record)
