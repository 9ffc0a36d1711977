"""Virtual time, and the streams that work on it (behaviours 26 and 39).

Each stream has a tail: when the last of what was put on it will be done. A task begins when
the host has launched it and the one before has ended, so a host that launches slowly leaves
gaps, as on a device. Nothing is carried out before somebody synchronises.

Beside it runs the real clock: `real_tail_ns` is when the work would be done if it had begun
when it was really launched. Synchronising waits for that, so that the host's own clock never
reads less than the device's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .calls import Failed

NEVER = float("inf")


class Clock:
    """The virtual host's time in nanoseconds."""

    def __init__(self) -> None:
        self.host_ns = 0.0

    def pass_time(self, nanoseconds: float) -> None:
        self.host_ns += nanoseconds

    def wait_until(self, nanoseconds: float) -> None:
        self.host_ns = max(self.host_ns, nanoseconds)


@dataclass(slots=True, eq=False)
class Task:
    """`carry_out` runs once, at synchronisation, and may raise `Failed`."""

    carry_out: Callable[[], None]
    end_ns: float
    real_end_ns: float
    what: str
    model_id: int = 0

    @property
    def is_stuck(self) -> bool:
        return self.end_ns == NEVER


@dataclass(slots=True, eq=False)
class Stream:
    """`handle` is 0 for the default stream of a context."""

    handle: int
    tail_ns: float = 0.0
    real_tail_ns: float = 0.0
    tasks: list[Task] = field(default_factory=list)

    def put(
        self,
        clock: Clock,
        duration_ns: float,
        carry_out: Callable[[], None],
        what: str,
        model_id: int = 0,
    ) -> Task:
        """Add to the tail; returns at once."""
        self.tail_ns = max(self.tail_ns, clock.host_ns) + duration_ns
        self.real_tail_ns = max(self.real_tail_ns, time.monotonic_ns()) + duration_ns
        task = Task(carry_out, self.tail_ns, self.real_tail_ns, what, model_id)
        self.tasks.append(task)
        return task

    def carry_out(self, last: Task | None = None) -> None:
        """Everything up to and with `last`, or everything there is. A failure of a task empties
        the stream (the device is broken) and is raised."""
        while self.tasks:
            task = self.tasks.pop(0)
            try:
                task.carry_out()
            except Failed:
                self.tasks.clear()
                raise
            if task is last:
                return

    def pending(self, last: Task | None) -> list[Task]:
        """What has to end before `last` (or all) is done."""
        if last is None:
            return list(self.tasks)
        return self.tasks[: self.tasks.index(last) + 1] if last in self.tasks else []

    def abandon(self) -> None:
        """Forget work that never ends, so that the stream can be destroyed."""
        self.tasks.clear()
        self.tail_ns = self.real_tail_ns = 0.0


def sleep_until(real_ns: float) -> None:
    """In the host's monotonic clock. Sleeps most of it and watches the rest: sleeping alone
    comes late by tens of microseconds."""
    while (left := real_ns - time.monotonic_ns()) > 0:
        if left > 200_000:
            time.sleep((left - 150_000) / 1e9)
