"""The process that does one job: `python -m rankwise.jobs.job_worker PARENT ASSIGNMENT`.

The store is named by `RANKWISE_DB`, because others see a process's arguments and a URL may
hold a password. It holds the machine's lock for as long as the job lasts, tells its progress to
the store, and dies with its parent. What a job crashes is this process, not the service.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from types import FrameType
from typing import Any

from .. import clock
from ..db.fence import Superseded, fenced
from ..db.jobs import JobRecord
from ..db.store import Store
from ..errors import RankwiseError, StoreUnreachable
from ..pace import Pace
from ..profiler.host_lock import host_lock
from ..profiler.worker import die_with
from .artifacts import ArtifactStore
from .assignment import AGAIN, SUPERSEDED, Assignment
from .queue import JobStore, read_request
from .runner import JobRunner

EVERY_S = 1.0
"""Progress is written at most this often: a commit costs the sampling a little."""
MESSAGES = 20
LINES = 100
"""Of the log."""


class StoreReporter:
    """Writes progress into the job's row."""

    def __init__(self, store: JobStore, uuid: str, attempt: int) -> None:
        self._store, self._uuid, self._attempt = store, uuid, attempt
        self._messages: deque[str] = deque(maxlen=MESSAGES)
        self._log: deque[dict[str, str]] = deque(maxlen=LINES)
        self._latest: dict[str, Any] = {}
        self._written = 0.0
        self._pace = Pace()

    def message(self, text: str) -> None:
        self._messages.append(text)
        self._log.append({"at": clock.now(), "text": text})
        self._write(force=False)

    def progress(self, done: float, total: float, text: str) -> None:
        left_s = self._pace.at(done, total).left_s
        if text and (done, total) != (self._latest.get("done"), self._latest.get("total")):
            self._log.append({"at": clock.now(), "text": text})
        self._latest = {"done": done, "total": total, "text": text, "left_s": left_s}
        self._write(force=False)

    def flush(self) -> None:
        self._write(force=True)

    def _write(self, force: bool) -> None:
        now = time.monotonic()
        if force or now - self._written >= EVERY_S:
            self._written = now
            progress = {
                **self._latest,
                "messages": list(self._messages),
                "log": list(self._log),
            }
            self._store.jobs.tell(self._uuid, self._attempt, progress)


def run(db: str, assignment: Assignment) -> None:
    """Claim the job and do it, alone on this machine; a job that is not queued any more, or of
    which another attempt has begun, is left alone."""
    artifacts = ArtifactStore(assignment.artifacts)
    os.chdir(artifacts.folder)
    uuid, attempt = assignment.job, assignment.attempt
    with host_lock(), fenced(db, uuid, attempt), Store.open(db, create=False) as store:
        record = store.jobs.claim(uuid, attempt)
        if record is not None:
            reporter = StoreReporter(store, uuid, attempt)
            runner = JobRunner(db, artifacts, reporter, assignment.backend)
            _finish(store, record, runner, reporter)


def _finish(store: JobStore, record: JobRecord, runner: JobRunner, reporter: StoreReporter) -> None:
    values: dict[str, Any]
    try:
        result = runner.run(read_request(record))
        values = {"state": "done", "result": dict(result)}
    except (Superseded, StoreUnreachable):
        raise
    except RankwiseError as error:
        values = {"state": "failed", "error": str(error)}
    except (OSError, MemoryError) as error:
        values = {"state": "failed", "error": " ".join(str(error).split()) or "out of memory"}
    reporter.flush()
    store.jobs.update(record.uuid, states=("running",), of_attempt=record.attempt, **values)


def _end(number: int, _frame: FrameType | None) -> None:
    """End by an exception, so that the store is closed and its sessions are ended."""
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> None:
    """Do the job that the arguments name, and die with the process that they name."""
    parent, assignment = arguments
    die_with(int(parent))
    signal.signal(signal.SIGTERM, _end)
    try:
        run(os.environ["RANKWISE_DB"], Assignment.from_text(assignment))
    except Superseded:
        sys.exit(SUPERSEDED)
    except StoreUnreachable as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(AGAIN)


if __name__ == "__main__":
    main(sys.argv[1:])
