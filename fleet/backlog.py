"""Jobs that wait, and how many of them the cluster is given.

A hundred thousand tasks at once would fill the scheduler's memory and gain nothing: of jobs that
ask for the same only as many are given as those devices begin soon. So a long queue for one device
holds up nobody else, either.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, KeysView
from dataclasses import dataclass, field

from ..db.jobs import Jobs
from .routing import ON_DEVICES

AHEAD = 2
"""Jobs a device: one that runs, and one that can begin at once."""
READ_ALL_EVERY_S = 60.0
"""New jobs are seen at once; whatever else became live (a restored database) is seen by then."""


@dataclass
class Backlog:
    """Live jobs that the cluster has not been given, by what they ask for, the oldest first."""

    _waiting: dict[str, deque[str]] = field(default_factory=dict)
    _given: dict[str, str] = field(default_factory=dict)
    """What each job asks for that the cluster has."""
    _last: int = 0
    _read_all: float = float("-inf")

    def read(self, jobs: Jobs) -> None:
        """Look for jobs that are new."""
        if time.monotonic() - self._read_all > READ_ALL_EVERY_S:
            self._read_all, self._last = time.monotonic(), 0
            self._waiting.clear()
        for job in jobs.live_after(self._last, ON_DEVICES):
            self._last = job.id
            if job.uuid not in self._given:
                self._waiting.setdefault(job.device, deque()).append(job.uuid)

    def next(self, devices: Callable[[str], int]) -> Iterator[str]:
        """Jobs to be given now; `devices` says how many there are for what is asked."""
        given = Counter(self._given.values())
        for asked, waiting in list(self._waiting.items()):
            free = AHEAD * max(devices(asked), 1) - given[asked]
            for _ in range(min(free, len(waiting))):
                uuid = waiting.popleft()
                self._given[uuid] = asked
                yield uuid
            if not waiting:
                del self._waiting[asked]

    def ended(self, uuids: Collection[str]) -> None:
        """These are not live any more: others may follow."""
        for uuid in uuids:
            self._given.pop(uuid, None)

    @property
    def given(self) -> KeysView[str]:
        """Jobs that the cluster was given and that are live as far as is known."""
        return self._given.keys()
