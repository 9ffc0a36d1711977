"""acl.rt: events, and waiting (R 06, 07; RS event.cc, stream.cpp)."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable

from .calls import RET, Failed, call, pair
from .clock import NEVER, Stream, Task
from .codes import DEFAULT_EVENT_FLAGS, EVENT_FLAGS, TIME_LINE
from .handles import Event
from .runtime import Runtime

RECORD_NS = 2_000
"""What an event's command takes of its stream (invented; not documented)."""
POLL_NS = 10_000


@call("acl.rt.create_event", "", pair(), "device")
def create_event(runtime: Runtime) -> int:
    return _new_event(runtime, DEFAULT_EVENT_FLAGS)


@call("acl.rt.create_event_with_flag", "I", pair(), "device")
def create_event_with_flag(runtime: Runtime, flag: int) -> int:
    return _new_event(runtime, flag)


@call("acl.rt.create_event_ex_with_flag", "I", pair(), "device")
def create_event_ex_with_flag(runtime: Runtime, flag: int) -> int:
    return _new_event(runtime, flag)


@call("acl.rt.destroy_event", "k", RET, "context")
def destroy_event(runtime: Runtime, handle: int) -> None:
    _event(runtime, handle)
    runtime.handles.drop(handle)


@call("acl.rt.record_event", "kk", RET, "device")
def record_event(runtime: Runtime, handle: int, stream_handle: int) -> None:
    """Itself asynchronous."""
    event, stream = _event(runtime, handle), runtime.stream(stream_handle)
    event.stream, event.complete = stream, False

    def happens() -> None:
        # not if it was recorded again in the meantime
        if event.task is task:
            event.complete = True

    task = stream.put(runtime.clock, RECORD_NS, happens, "an event")
    event.task, event.stamp_ns = task, _ticks(runtime, task.end_ns)


@call("acl.rt.reset_event", "kk", RET, "device")
def reset_event(runtime: Runtime, handle: int, stream_handle: int) -> None:
    event = _event(runtime, handle)
    runtime.stream(stream_handle)
    event.stream = event.task = event.stamp_ns = None
    event.complete = False


@call("acl.rt.event_elapsed_time", "kk", pair(float), "context")
def event_elapsed_time(runtime: Runtime, start: int, end: int) -> float:
    """Milliseconds, as a float32. Behaviours 31, 32, 33; negative if swapped."""
    events = _event(runtime, start), _event(runtime, end)
    for event in events:
        _require_stamp(event)
    if events[0].stream is not events[1].stream:
        runtime.violation("elapsed time of events on different streams: it means nothing")
    first, last = (event.stamp_ns or 0.0 for event in events)
    (milliseconds,) = struct.unpack("<f", struct.pack("<f", (last - first) / 1e6))
    return float(milliseconds)


@call("acl.rt.event_get_timestamp", "k", pair(), "context")
def event_get_timestamp(runtime: Runtime, handle: int) -> int:
    """Microseconds."""
    event = _event(runtime, handle)
    _require_stamp(event)
    return int((event.stamp_ns or 0.0) / 1e3)


@call("acl.rt.query_event_status", "k", pair(), "context")
def query_event_status(runtime: Runtime, handle: int) -> int:
    """0 not complete, 1 complete."""
    return int(_has_happened(runtime, handle))


@call("acl.rt.query_event", "k", pair(), "context")
def query_event(runtime: Runtime, handle: int) -> int:
    """The old call has it the other way round: 0 complete, 1 not."""
    return int(not _has_happened(runtime, handle))


@call("acl.rt.synchronize_event", "k", RET, "device")
def synchronize_event(runtime: Runtime, handle: int) -> None:
    event = _event(runtime, handle)
    if event.stream is not None and event.task in event.stream.tasks:
        if any(task.is_stuck for task in event.stream.pending(event.task)):
            raise Failed(507047, "the event does not come")
        _finish(runtime, event.stream, event.task)


@call("acl.rt.synchronize_stream", "k", RET, "device")
def synchronize_stream(runtime: Runtime, handle: int) -> None:
    _finish(runtime, runtime.stream(handle))


@call("acl.rt.synchronize_device", "", RET, "device")
def synchronize_device(runtime: Runtime) -> None:
    for stream in runtime.context().all_streams():
        _finish(runtime, stream)


@call("acl.rt.synchronize_stream_with_timeout", "ki", RET, "device")
def synchronize_stream_with_timeout(runtime: Runtime, handle: int, milliseconds: int) -> None:
    """Behaviour 34. -1 waits for ever."""
    if milliseconds < -1:
        raise Failed(107000, f"no time-out of {milliseconds} ms")
    stream = runtime.stream(handle)
    limit_ns = runtime.clock.host_ns + milliseconds * 1e6
    late = _end_ns(stream.tasks) > limit_ns
    if milliseconds >= 0 and late:
        runtime.clock.wait_until(limit_ns)
        runtime.wait(time.monotonic_ns() + milliseconds * 1e6)
        raise Failed(507046, f"the stream is not done after {milliseconds} ms")
    _finish(runtime, stream)


def _finish(runtime: Runtime, stream: Stream, last: Task | None = None) -> None:
    """Wait for `last`, or for all there is, then carry it out."""
    tasks = stream.pending(last)
    if not tasks:
        return
    if any(task.is_stuck for task in tasks):
        runtime.break_device(507014)
        stream.abandon()
        raise Failed(507014, "the core does not come back")
    runtime.clock.wait_until(tasks[-1].end_ns)
    runtime.wait(tasks[-1].real_end_ns)
    try:
        # another thread may have done it while this one waited
        if tasks[-1] in stream.tasks:
            stream.carry_out(tasks[-1])
    except Failed as error:
        runtime.break_device(error.code)
        raise


def _end_ns(tasks: Iterable[Task]) -> float:
    return max((task.end_ns for task in tasks), default=0.0)


def _ticks(runtime: Runtime, nanoseconds: float) -> float:
    """To the tick of the chip (RS dev_info_reg.cc)."""
    tick = runtime.chip.tick_ns if runtime.chip else 1.0
    return nanoseconds if nanoseconds == NEVER else nanoseconds // tick * tick


def _new_event(runtime: Runtime, flags: int) -> int:
    if flags & ~EVENT_FLAGS:
        raise Failed(107000, f"no event flags 0x{flags:x}")
    chip = runtime.chip
    if chip is not None and len(runtime.handles.all(Event)) >= chip.events:
        raise Failed(207007, f"there are {chip.events} events")
    return runtime.handles.add(Event(flags))


def _event(runtime: Runtime, handle: int) -> Event:
    """Behaviours 10 and 11."""
    if not handle:
        raise Failed(100000, "the event is null")
    return runtime.handles.get(handle, Event, 107017)


def _require_stamp(event: Event) -> None:
    if event.task is None:
        raise Failed(507000, "the event was never recorded")
    if not event.complete:
        raise Failed(107006, "the event is not complete")
    if not event.flags & TIME_LINE:
        raise Failed(107006, "the event was made without the flag for time stamps")


def _has_happened(runtime: Runtime, handle: int) -> bool:
    """Once the answer is yes, what came before the event is done, too."""
    event = _event(runtime, handle)
    runtime.clock.pass_time(POLL_NS)
    if event.complete or event.stream is None or event.task not in event.stream.tasks:
        return event.complete
    task = event.task
    now = time.monotonic_ns() if runtime.settings.host_wait else runtime.clock.host_ns
    if now < (task.real_end_ns if runtime.settings.host_wait else task.end_ns):
        return False
    _finish(runtime, event.stream, task)
    return True
