"""Clocks: how the time of a number of executions is read, on the host and on a device.

A step is one execution. `between`, where there is one, runs before each of them, untimed (it
drops gradients, or clears a cache); without it executions follow each other without a gap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

Step = Callable[[], object]


class Clock(Protocol):
    def time(self, step: Step, loops: int, between: Step | None = None) -> Mapping[str, float]:
        """Seconds for one execution, by clock, over `loops` executions."""
        ...


class HostClock:
    """The processor's monotonic clock, for devices whose calls return when the work is done."""

    def time(self, step: Step, loops: int, between: Step | None = None) -> Mapping[str, float]:
        return {"host": host_ns(step, loops, between) * 1e-9 / loops}


def host_ns(step: Step, loops: int, between: Step | None = None) -> int:
    """Nanoseconds that `loops` executions take together."""
    if between is None:
        start = time.perf_counter_ns()
        for _ in range(loops):
            step()
        return time.perf_counter_ns() - start
    elapsed = 0
    for _ in range(loops):
        between()
        start = time.perf_counter_ns()
        step()
        elapsed += time.perf_counter_ns() - start
    return elapsed


class Event(Protocol):
    """As torch's for CUDA, NPU and MPS: recorded on the current stream, read in milliseconds."""

    def record(self) -> Any: ...
    def elapsed_time(self, end_event: Any) -> float: ...


class EventClock:
    """A device's events around executions that only enqueue, and the host's clock around both.

    Without `between` one pair of events stands around all executions, because the events cost
    microseconds themselves. `host` is the time from the first launch until the device is done.
    """

    def __init__(self, make_event: Callable[[], Event], synchronize: Step) -> None:
        self._make_event, self._synchronize = make_event, synchronize

    def time(self, step: Step, loops: int, between: Step | None = None) -> Mapping[str, float]:
        if between is None:
            device_ms, host_ns = self._stretch(step, loops)
        else:
            stretches = []
            for _ in range(loops):
                between()
                stretches.append(self._stretch(step, 1))
            device_ms = sum(ms for ms, _ in stretches)
            host_ns = sum(ns for _, ns in stretches)
        return {"device": device_ms * 1e-3 / loops, "host": host_ns * 1e-9 / loops}

    def _stretch(self, step: Step, loops: int) -> tuple[float, int]:
        """(milliseconds on the device, nanoseconds on the host) of executions in a row."""
        first, last = self._make_event(), self._make_event()
        self._synchronize()
        start = time.perf_counter_ns()
        first.record()
        for _ in range(loops):
            step()
        last.record()
        self._synchronize()
        elapsed = time.perf_counter_ns() - start
        return first.elapsed_time(last), elapsed
