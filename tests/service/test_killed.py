"""`kill -9` of the service while it profiles, several times: the job goes on, nothing is lost."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

KILLS = int(os.environ.get("RANKWISE_KILLS", "2"))
"""More of them where somebody asks for more: a kill costs three seconds, most of them the start."""
MAX_NEW_SAMPLES = 40
"""Before a kill. Not a number of seconds: on a fast machine most kills would come too late."""


def samples(path: Path) -> set[tuple[object, ...]]:
    """Every committed sample, by session, workload, round and clock, with its seconds."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "select session_id, workload_id, round, clock, seconds from samples"
        ).fetchall()
    assert len({row[:4] for row in rows}) == len(rows), "a sample is there twice"
    return set(rows)


class Killable:
    """A service in a process of its own."""

    def __init__(self, folder: Path) -> None:
        path = folder / "log"
        with path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rankwise", "serve", "--port", "0"],
                cwd=folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        while not (found := re.search(r"serves on (\S+)", path.read_text())):
            assert self.process.poll() is None, path.read_text()
            time.sleep(0.05)
        self.url = f"{found[1]}/api/v1"

    def kill(self) -> None:
        """The service alone; whatever it has started has to notice."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive, "a job's process outlives its service"

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=60).json()


@pytest.fixture
def start_one(tmp_path: Path) -> Iterator[Callable[[], Killable]]:
    started: list[Killable] = []

    def start() -> Killable:
        started.append(Killable(tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_several_times(
    start_one: Callable[[], Killable], tmp_path: Path, model_bytes: bytes
) -> None:
    rng = random.Random(0)
    service = start_one()
    octets = {"content-type": "application/octet-stream"}
    made = httpx.post(f"{service.url}/networks", content=model_bytes, headers=octets, timeout=60)
    asked = {"network": made.json()["id"], "backend": "onnxruntime-cpu"}
    asked |= {"rank_quantum": 8, "kinds": ["svd"]}
    job = httpx.post(f"{service.url}/profiles", json=asked, timeout=60).json()
    path, kept, landed = tmp_path / "rankwise.db", set[tuple[object, ...]](), 0
    for _ in range(KILLS):
        enough = len(kept) + 1 + rng.randrange(MAX_NEW_SAMPLES)
        while len(samples(path)) < enough:
            if service.get(f"/jobs/{job['id']}")["state"] == "done":
                break
            time.sleep(0.05)
        landed += service.get(f"/jobs/{job['id']}")["state"] == "running"
        service.kill()
        found = samples(path)
        assert kept <= found, "a committed sample is gone"
        kept = found
        service = start_one()
    assert landed >= KILLS // 2, "most kills came too late: the test has tested little"

    while (now := service.get(f"/jobs/{job['id']}"))["state"] in ("queued", "running"):
        time.sleep(0.2)
    assert now["state"] == "done", now
    assert now["result"]["complete"]
    assert kept <= samples(path)
    jobs = [one for one in service.get("/jobs")["items"] if one["kind"] == "profile"]
    assert [one["id"] for one in jobs] == [job["id"]], "one job all along"
    again = httpx.post(f"{service.url}/profiles", json=asked, timeout=60).json()
    while (after := service.get(f"/jobs/{again['id']}"))["state"] in ("queued", "running"):
        time.sleep(0.2)
    assert after["result"]["samples"] == 0, "everything was there"
    service.process.terminate()
    assert service.process.wait(30) is not None
    checked = [sys.executable, "-P", "-m", "rankwise", "db", "check"]
    subprocess.run(checked, cwd=tmp_path, check=True)
    print(json.dumps({"kills that landed in the job": landed, "samples": len(kept)}))
