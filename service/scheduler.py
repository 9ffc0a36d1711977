"""Runs jobs, one at a time, each in a process of its own.

One at a time whatever their kind: a measurement must not share the machine with a search. A
job whose process is gone (the service was killed) is queued again when the next service
starts, and goes on from what the store holds.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from ..errors import RankwiseError
from ..jobs.artifacts import ArtifactStore
from ..jobs.queue import JobStore

log = logging.getLogger("rankwise.service")

IDLE_S = 2.0
"""A job that another process has queued is seen after this."""
POLL_S = 0.1
GRACE_S = 10.0
"""For a process that was told to end, before it is killed."""
TAIL_BYTES = 1500


class Scheduler(threading.Thread):
    """The thread that starts the processes of jobs; they die with it (and so with us)."""

    def __init__(self, store: JobStore, artifacts: ArtifactStore, db: str) -> None:
        super().__init__(name="scheduler", daemon=True)
        self.store, self.artifacts, self.db = store, artifacts, db
        self.running: str | None = None
        """The job whose process is alive."""
        self._wake, self._stopping = threading.Event(), threading.Event()

    def wake(self) -> None:
        """A job was queued or cancelled."""
        self._wake.set()

    def stop(self) -> None:
        """End; a job that runs is queued again."""
        self._stopping.set()
        self._wake.set()
        self.join(GRACE_S + 5)

    def run(self) -> None:
        while not self._stopping.is_set():
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
        running, _ = self.store.jobs.page(states=("running",), limit=1)
        if running:
            for uuid in self.store.jobs.requeue():
                log.info("job %s was cut off and is queued again", uuid)
            if self.store.jobs.page(states=("running",), limit=1)[0]:
                return None
        queued, _ = self.store.jobs.page(states=("queued",), limit=1, oldest_first=True)
        return queued[0].uuid if queued else None

    def _run_job(self, uuid: str) -> None:
        log.info("job %s starts", uuid)
        path = self.artifacts.folder / "logs" / f"{uuid}.log"
        with path.open("wb") as output:
            process = self._start(uuid, output.fileno())
        self.running = uuid
        try:
            self._attend(process, uuid)
        finally:
            self.running = None
        self._settle(uuid, process.returncode, path)
        path.unlink(missing_ok=True)

    def _start(self, uuid: str, output: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "rankwise.jobs.job_worker"]
        environment = {**os.environ, "RANKWISE_DB": self.db}
        environment.pop("RANKWISE_TOKEN", None)
        return subprocess.Popen(
            [*command, uuid, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
        )

    def _attend(self, process: subprocess.Popen[bytes], uuid: str) -> None:
        """Wait until the process ends, by itself or because the job or we are to end."""
        ticks = 0
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S)
                return
            ticks += 1
            woken = self._wake.is_set() or ticks % 20 == 0
            self._wake.clear()
            if self._stopping.is_set() or (woken and self._cancelled(uuid)):
                _end(process)
                return

    def _cancelled(self, uuid: str) -> bool:
        record = self.store.jobs.get(uuid)
        return record is None or record.state == "cancelled"

    def _settle(self, uuid: str, status: int, path: Path) -> None:
        """What becomes of a job whose process ended without saying so."""
        if self._stopping.is_set():
            self.store.jobs.update(uuid, states=("running",), state="queued", owner=None)
            return
        record = self.store.jobs.get(uuid)
        log.info("job %s ends: %s", uuid, record.state if record else "gone")
        if record is None or not record.live:
            return
        tail = path.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        last = tail.splitlines()[-1] if tail else "it said nothing"
        log.error("job %s: its process ended with status %d\n%s", uuid, status, tail)
        error = f"the job's process ended with status {status}: {last[:300]}"
        self.store.jobs.update(uuid, state="failed", error=error)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
