"""A real cluster: a scheduler, workers and a service, each a process; PostgreSQL between them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from rankwise.service.client import Client

from ..postgres_server import Server
from ..postgres_server import server as server

START_S = 120.0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(ready: Callable[[], Any], what: str) -> Any:
    """What is true in the end. A test waits for events, not for times."""
    deadline = time.monotonic() + START_S
    while not (found := ready()):
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.1)
    return found


class Lab:
    """Processes of a fleet by name; all of them end with the test."""

    def __init__(self, folder: Path, db: str) -> None:
        self.folder, self.db = folder, db
        self.port, self.service_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.service_port}"
        self.timings = folder / "timings.jsonl"
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *words: str, host: str = "service", **more: str) -> None:
        """Start `python -m WORDS`, with `more` in its environment; processes of one host share a
        lock."""
        environment = {**os.environ, "RANKWISE_DB": self.db, "OMP_NUM_THREADS": "1", **more}
        environment["RANKWISE_HOST_LOCK"] = str(self.folder / f"{host}.lock")
        environment["RANKWISE_TIMING_LOG"] = str(self.timings)
        environment["TMPDIR"] = str(self.folder)  # what is killed leaves its scratch behind
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", *words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=environment,
            )

    def start_scheduler(self) -> None:
        where = ["--host", "127.0.0.1", "--port", f"{self.port}", "--no-dashboard"]
        self.start("scheduler", "distributed.cli.dask_scheduler", *where)

    def start_service(self, cluster: str = "") -> None:
        cluster = cluster or f"tcp://127.0.0.1:{self.port}"
        where = ["--port", f"{self.service_port}", "--cluster", cluster]
        self.start("service", "rankwise", "serve", *where)
        until(self._answers, "the service")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v1/session").status_code == 200
        except httpx.HTTPError:
            return False

    def start_worker(self, name: str, backend: str, *more: str, host: str = "") -> None:
        words = ["worker", f"tcp://127.0.0.1:{self.port}", "--backend", backend]
        kept = ["--folder", str(self.folder / f"kept-{name}")]
        self.start(name, "rankwise", *words, *kept, *more, host=host or name)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGINT)
        for process in self.running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def children(self, name: str, words: str) -> list[psutil.Process]:
        """Processes below that one whose command line has these words."""
        below = psutil.Process(self.running[name].pid).children(recursive=True)
        return [one for one in below if words in " ".join(_cmdline(one))]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def lab(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A scheduler, a service, and two workers on two hosts."""
    running = Lab(tmp_path_factory.mktemp("fleet"), server.url())
    running.start_scheduler()
    running.start_service()
    running.start_worker("one", "fake:step=16,takes_ms=1,seed=1", "--label", "lab-a")
    running.start_worker("two", "fake:step=16,takes_ms=1,seed=2", "--label", "lab-b")
    yield running
    running.stop()


@pytest.fixture
def client(lab: Lab) -> Iterator[Client]:
    with Client(lab.url) as one:
        yield one
