"""One timing at a time on a machine, whoever started it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankwise.profiler.host_lock import VARIABLE, handed_on, host_lock, lock_path
from rankwise.profiler.worker_process import WorkerProcess

TRY = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(1)
"""


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "host.lock"
    monkeypatch.setenv(VARIABLE, str(path))
    assert lock_path() == path
    return path


def is_free(path: Path) -> bool:
    return subprocess.run([sys.executable, "-c", TRY, str(path)], check=False).returncode == 0


def test_others_wait_until_the_block_ends(lock: Path) -> None:
    with host_lock():
        assert len(handed_on()) == 1
        assert not is_free(lock)
    assert is_free(lock)
    assert handed_on() == ()


def test_a_file_of_somebody_else_is_enough(lock: Path) -> None:
    """It is only ever read: who made it does not matter."""
    previous = os.umask(0o077)
    try:
        with host_lock():
            assert lock.stat().st_mode & 0o777 == 0o444
    finally:
        os.umask(previous)
    with host_lock():
        assert not is_free(lock)


def test_a_process_that_measures_holds_it_with_its_parent(lock: Path) -> None:
    """Its parent may die first: until it is dead, too, nobody else may time."""
    with host_lock():
        worker = WorkerProcess(threads=1, memory_bytes=1 << 33)
    try:
        assert not is_free(lock)
    finally:
        worker.close(gently=False)
    assert is_free(lock)


def test_timings_are_noted_if_somebody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rankwise.profiler.timing_log import VARIABLE as LOG
    from rankwise.profiler.timing_log import timed

    with timed("fake"):
        pass
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    with pytest.raises(ZeroDivisionError), timed("fake"):
        raise ZeroDivisionError
    begin, end = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (begin["event"], end["event"]) == ("begin", "end")
    assert begin["at_ns"] <= end["at_ns"]
    assert begin["host"] == str(lock_path())
