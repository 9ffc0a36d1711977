"""Sees a job through: starts its process, waits, ends it when it has to end, says how it went.

Both who runs the jobs of one machine and a worker of a fleet do it so. The process dies with
whoever attends it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from ..db.jobs import JobRecord
from ..errors import StoreError
from .artifacts import ArtifactStore
from .assignment import AGAIN, SUPERSEDED, Assignment
from .queue import JobStore

log = logging.getLogger("rankwise.jobs")

POLL_S = 0.1
LOOK_S = 2.0
"""How often the job's row is looked at: was it cancelled, does it go on?"""
GRACE_S = 10.0
"""For a process that was told to end, before it is killed."""
TAIL_BYTES = 1500
HANG_AFTER_S = 1800.0
"""Without any progress. A timing that never returns ends after two minutes (`Effort.timeout_s`) and
starts after three; a session has seven workloads."""
ATTEMPTS = 10
"""A job whose process is killed from outside (the machine had no memory left) is tried so often."""


class Ending(Enum):
    """How an attempt at a job ended."""

    SETTLED = "its row says what came of it"
    GONE = "the job was not live any more"
    SUPERSEDED = "another attempt has begun"
    STOPPED = "whoever attends it is to end"
    HUNG = "it made no progress"
    AGAIN = "the store could not be reached, or somebody killed its process"


@dataclass
class Attendant:
    """Attends jobs of a store, one after another."""

    store: JobStore
    artifacts: ArtifactStore
    db: str
    hang_after_s: float = HANG_AFTER_S
    woken: threading.Event = field(default_factory=threading.Event)
    """Set by whoever cancels a job, so that it ends at once."""
    stopping: threading.Event = field(default_factory=threading.Event)

    def attend(self, uuid: str, device: str | None = None, backend: str = "") -> Ending:
        """Begin an attempt at the job, and stay with it until it has ended. Raises `StoreError` if
        the attempt cannot even begin."""
        attempt = self.store.jobs.begin_attempt(uuid, device)
        if attempt is None:
            return Ending.GONE
        log.info("job %s starts (attempt %d)", uuid, attempt)
        assignment = Assignment(uuid, attempt, self.artifacts.folder, backend)
        path = self.artifacts.folder / "logs" / f"{uuid}.{attempt}.log"
        with path.open("wb") as output:
            process = self._start(assignment, output.fileno())
        ending = self._watch(process, assignment)
        if ending is None:
            ending = self._settle(assignment, process.returncode, path)
        log.info("job %s ends (attempt %d): %s", uuid, attempt, ending.value)
        path.unlink(missing_ok=True)
        return ending

    def _start(self, assignment: Assignment, output: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "RANKWISE_DB": self.db}
        environment.pop("RANKWISE_TOKEN", None)
        command = [sys.executable, "-P", "-m", "rankwise.jobs.job_worker"]
        return subprocess.Popen(
            [*command, str(os.getpid()), assignment.text],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
        )

    def _watch(self, process: subprocess.Popen[bytes], assignment: Assignment) -> Ending | None:
        """Wait until the process ends by itself (None), or end it for a reason."""
        progress, looked = _Progress(self.hang_after_s), time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S)
                return None
            ending = Ending.STOPPED if self.stopping.is_set() else None
            if ending is None and (self.woken.is_set() or time.monotonic() - looked > LOOK_S):
                self.woken.clear()
                looked = time.monotonic()
                ending = self._look(assignment, progress)
            if ending is not None:
                _end(process)
                self._leave(assignment, ending)
                return ending

    def _look(self, assignment: Assignment, progress: _Progress) -> Ending | None:
        """Why the process has to end, by what the job's row says; None if it goes on. A store that
        does not answer is no reason: the process has to live with it, too."""
        try:
            record = self.store.jobs.get(assignment.job)
        except StoreError:
            return None
        if record is None or not record.live:
            return Ending.GONE if record is None or record.state == "cancelled" else None
        if record.attempt != assignment.attempt:
            return Ending.SUPERSEDED
        return Ending.HUNG if progress.stands_still(record) else None

    def _leave(self, assignment: Assignment, ending: Ending) -> None:
        """Queue a job again whose process was ended although it was not done."""
        if ending in (Ending.STOPPED, Ending.HUNG, Ending.AGAIN):
            with suppress(StoreError):  # else whoever begins the next attempt does it
                self._update(assignment, state="queued", owner=None)

    def _settle(self, assignment: Assignment, status: int, path: Path) -> Ending:
        """What becomes of a job whose process ended by itself."""
        if status == SUPERSEDED:
            return Ending.SUPERSEDED
        record = self._record(assignment.job)
        killed = status == -signal.SIGKILL and assignment.attempt < ATTEMPTS
        if status == AGAIN or killed or isinstance(record, Ending):
            self._leave(assignment, Ending.AGAIN)
            return Ending.AGAIN
        if record is None or not record.live:
            return Ending.SETTLED
        if record.attempt != assignment.attempt:
            return Ending.SUPERSEDED
        tail = path.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        last = tail.splitlines()[-1] if tail else "it said nothing"
        log.error("job %s: its process ended with status %d\n%s", record.uuid, status, tail)
        error = f"the job's process ended with status {status}: {last[:300]}"
        self._update(assignment, state="failed", error=error)
        return Ending.SETTLED

    def _record(self, uuid: str) -> JobRecord | Ending | None:
        try:
            return self.store.jobs.get(uuid)
        except StoreError:
            return Ending.AGAIN

    def _update(self, assignment: Assignment, **values: Any) -> None:
        self.store.jobs.update(assignment.job, of_attempt=assignment.attempt, **values)


class _Progress:
    """Whether a job still goes on, by this machine's own clock."""

    def __init__(self, hang_after_s: float) -> None:
        self._hang_after_s = hang_after_s
        self._last: Any = None
        self._changed = time.monotonic()

    def stands_still(self, record: JobRecord) -> bool:
        """Whether nothing has changed for too long. A job that waits for the machine's lock has
        not been claimed yet, and does not hang."""
        said = (record.state, record.progress)
        if record.state != "running" or said != self._last:
            self._last, self._changed = said, time.monotonic()
        return time.monotonic() - self._changed > self._hang_after_s


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
