"""How an attempt at a job ends: by itself, or because somebody or something ends it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rankwise.db import Store
from rankwise.db.jobs import JobRecord
from rankwise.errors import StoreUnreachable
from rankwise.jobs import attendant
from rankwise.jobs.artifacts import ArtifactStore
from rankwise.jobs.assignment import AGAIN, SUPERSEDED, Assignment
from rankwise.jobs.attendant import Attendant, Ending

Attend = Callable[..., Ending]
FOREVER = "import time; time.sleep(60)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/lab.db") as opened:
        times = "2026-01-01T00:00:00.000Z", None, None, None
        opened.jobs.put(JobRecord("a", "profile", {}, "k", "queued", {}, None, "", *times))
        yield opened


@pytest.fixture
def here(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attendant:
    monkeypatch.setattr(attendant, "LOOK_S", 0.05)
    monkeypatch.setattr(attendant, "POLL_S", 0.02)
    return Attendant(store, ArtifactStore(tmp_path / "a"), f"sqlite:///{tmp_path}/lab.db")


@pytest.fixture
def attend(here: Attendant, store: Store, monkeypatch: pytest.MonkeyPatch) -> Attend:
    """Attend a process that does `code` once it has claimed the job."""

    def run(code: str, meanwhile: Callable[[], Any] = lambda: None) -> Ending:
        def start(assignment: Assignment, output: int) -> subprocess.Popen[bytes]:
            assert store.jobs.claim("a", assignment.attempt) is not None
            process = subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=output)
            threading.Timer(0.05, meanwhile).start()
            return process

        monkeypatch.setattr(here, "_start", start)
        return here.attend("a", "device-1", "fake")

    return run


def state(store: Store) -> tuple[str, str]:
    job = store.jobs.get("a")
    assert job is not None
    return job.state, job.error


def test_a_process_that_says_nothing_has_failed(attend: Attend, store: Store) -> None:
    assert attend("print('first'); print('segmentation'); exit(7)") is Ending.SETTLED
    assert state(store) == ("failed", "the job's process ended with status 7: segmentation")
    assert attend(FOREVER) is Ending.GONE, "it is not live any more"


def test_what_the_row_says_counts(attend: Attend, store: Store) -> None:
    ends = "import time; time.sleep(0.5)"  # after its row was written
    assert attend(ends, lambda: store.jobs.update("a", state="done")) is Ending.SETTLED
    assert state(store)[0] == "done"


def test_a_cancelled_job_is_ended(attend: Attend, store: Store) -> None:
    assert attend(FOREVER, lambda: store.jobs.update("a", state="cancelled")) is Ending.GONE
    assert state(store)[0] == "cancelled"


def test_a_job_that_another_attempt_has_taken_over_is_left_to_it(
    attend: Attend, store: Store
) -> None:
    assert attend(FOREVER, lambda: store.jobs.begin_attempt("a", "device-2")) is Ending.SUPERSEDED
    job = store.jobs.get("a")
    assert job is not None
    assert (job.state, job.attempt, job.device) == ("queued", 2, "device-2")
    assert attend(f"exit({SUPERSEDED})") is Ending.SUPERSEDED


def test_it_is_queued_again_when_its_attendant_ends(
    attend: Attend, here: Attendant, store: Store
) -> None:
    assert attend(FOREVER, here.stopping.set) is Ending.STOPPED
    assert state(store) == ("queued", "")


def test_without_progress_it_hangs(attend: Attend, here: Attendant, store: Store) -> None:
    here.hang_after_s = 0.3
    began = time.monotonic()
    goes_on = threading.Event()

    def progress() -> None:
        for step in range(4):
            time.sleep(0.2)
            store.jobs.update("a", progress={"done": step})
        goes_on.set()

    assert attend(FOREVER, progress) is Ending.HUNG
    assert goes_on.is_set(), "while it goes on, it does not hang"
    assert time.monotonic() - began > 0.8
    assert state(store) == ("queued", "")


def test_a_store_that_is_away_fails_no_job(
    attend: Attend, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attend(f"exit({AGAIN})") is Ending.AGAIN
    assert state(store) == ("queued", "")

    def away(_uuid: str) -> None:
        raise StoreUnreachable("away")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.jobs), "get", lambda _jobs, uuid: away(uuid))
        assert attend("exit(1)") is Ending.AGAIN
    assert state(store)[0] == "queued"


def test_a_process_that_is_killed_from_outside_is_tried_again(
    attend: Attend, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendant, "ATTEMPTS", 3)
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert [attend(killed), attend(killed)] == [Ending.AGAIN] * 2
    assert attend(killed) is Ending.SETTLED, "but not for ever"
    assert state(store)[0] == "failed"
