"""When something was timed: a line at the beginning and at the end of each timing.

Where RANKWISE_TIMING_LOG names a file, measuring processes append to it. Nobody needs that in order
to measure; it is how benchmarks and tests look whether two timings ever overlapped. Times are
nanoseconds of the machine's monotonic clock, which all of its processes share.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .host_lock import lock_path

VARIABLE = "RANKWISE_TIMING_LOG"


@contextmanager
def timed(backend: str) -> Iterator[None]:
    """Note the beginning and the end of what is done inside."""
    path = os.environ.get(VARIABLE)
    if not path:
        yield
        return
    _append(path, backend, "begin")
    try:
        yield
    finally:
        _append(path, backend, "end")


def _append(path: str, backend: str, event: str) -> None:
    """One write to a file that is open for appending: lines of several processes stay whole."""
    line = {"event": event, "backend": backend, "host": str(lock_path()), "pid": os.getpid()}
    text = json.dumps({**line, "at_ns": time.monotonic_ns()})
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{text}\n".encode())
    finally:
        os.close(descriptor)
