"""Runs jobs, one at a time, each in a process of its own.

One at a time whatever their kind: a measurement must not share the machine with a search. A
job whose process is gone (the service was killed) is queued again when the next service
starts, and goes on from what the store holds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import Protocol

from ..errors import RankwiseError
from ..jobs.artifacts import ArtifactStore
from ..jobs.attendant import GRACE_S, Attendant
from ..jobs.queue import JobStore

log = logging.getLogger("rankwise.service")

IDLE_S = 2.0
"""A job that another process has queued is seen after this."""


class RunsJobs(Protocol):
    """Who sees to it that queued jobs are done: this machine, or a fleet."""

    @property
    def running(self) -> str | None:
        """A job that is being done on this machine, if there is one."""

    def start(self) -> None: ...

    def wake(self) -> None:
        """A job was queued or cancelled."""

    def stop(self) -> None:
        """End; a job that runs here is queued again."""


class Both:
    """A fleet for what needs a device, and this machine for the rest."""

    def __init__(self, *runners: RunsJobs) -> None:
        self._runners = runners

    @property
    def running(self) -> str | None:
        """A job that is being done on this machine."""
        return next((one.running for one in self._runners if one.running is not None), None)

    def start(self) -> None:
        for one in self._runners:
            one.start()

    def wake(self) -> None:
        """A job was queued or cancelled."""
        for one in self._runners:
            one.wake()

    def stop(self) -> None:
        """End; a job that runs on this machine is queued again."""
        for one in self._runners:
            one.stop()


class Scheduler(threading.Thread):
    """The thread that starts the processes of jobs; they die with it (and so with us). `kinds`:
    it leaves all other jobs alone."""

    def __init__(
        self, store: JobStore, artifacts: ArtifactStore, db: str, kinds: Collection[str] = ()
    ) -> None:
        super().__init__(name="scheduler", daemon=True)
        self.store, self.kinds = store, kinds
        self.running: str | None = None
        """The job whose process is alive."""
        self._attendant = Attendant(store, artifacts, db)
        self._wake = threading.Event()

    def wake(self) -> None:
        """A job was queued or cancelled."""
        self._attendant.woken.set()
        self._wake.set()

    def stop(self) -> None:
        """End; a job that runs is queued again."""
        self._attendant.stopping.set()
        self._wake.set()
        self.join(GRACE_S + 5)

    def run(self) -> None:
        while not self._attendant.stopping.is_set():
            self._wake.clear()
            try:
                uuid = self._next()
                if uuid is not None:
                    self._run_job(uuid)
                    continue
            except RankwiseError as error:  # the store is locked, the disk is full
                log.error("jobs have to wait: %s", error)
            self._wake.wait(IDLE_S)

    def _next(self) -> str | None:
        """The oldest queued job. None while another process's job runs."""
        live = self.store.jobs.live(self.kinds)
        if "running" in live.values():
            for uuid in self.store.jobs.requeue(self.kinds):
                log.info("job %s was cut off and is queued again", uuid)
            live = self.store.jobs.live(self.kinds)
        return None if "running" in live.values() else next(iter(live), None)

    def _run_job(self, uuid: str) -> None:
        self.running = uuid
        try:
            self._attendant.attend(uuid)
        finally:
            self.running = None
