"""`kill -9` in the middle of a profile: nothing committed is lost, nothing is double."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

KILLS = int(os.environ.get("RANKWISE_KILLS", "4"))
"""More of them where somebody asks for more: a kill costs two seconds, most of them the start."""
MAX_NEW_SAMPLES = 40
"""Before a kill. Not a number of seconds: on a fast machine most kills would come too late."""


def command(network_file: Path, *words: str) -> list[str]:
    start = [sys.executable, "-m", "rankwise", "profile", str(network_file)]
    few = ["--rank-quantum", "4", "--kinds", "svd", "--interval", "0.3"]
    return [*start, "--backend", "onnxruntime-cpu", *few, *words]


def samples(path: Path) -> set[tuple[object, ...]]:
    """Every committed sample, by session, workload, round and clock, with its seconds."""
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("select 1 from sqlite_master where name = 'samples'").fetchall():
            return set()
        rows = connection.execute(
            "select session_id, workload_id, round, clock, seconds from samples"
        ).fetchall()
    assert len({row[:4] for row in rows}) == len(rows)
    return set(rows)


@pytest.mark.slow
def test_killed_several_times(network_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "rankwise.db"
    rng = random.Random(0)
    kept: set[tuple[object, ...]] = set()
    landed = 0
    for _ in range(KILLS):
        child = subprocess.Popen(
            command(network_file),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        enough = len(kept) + rng.randrange(MAX_NEW_SAMPLES)
        while child.poll() is None and len(samples(path)) < enough:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        if child.poll() is None:
            landed += 1
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        found = samples(path)
        assert kept <= found, "a committed sample is gone"
        kept = found
    assert landed >= KILLS // 2, "most kills came too late: the test has tested little"

    done = subprocess.run(
        command(network_file, "--json"), cwd=tmp_path, capture_output=True, check=True
    )
    document = json.loads(done.stdout)
    assert document["complete"]
    assert kept <= samples(path)
    again = subprocess.run(
        command(network_file, "--json"), cwd=tmp_path, capture_output=True, check=True
    )
    assert json.loads(again.stdout)["samples"] == 0
    checked = [sys.executable, "-m", "rankwise", "db", "check"]
    subprocess.run(checked, cwd=tmp_path, check=True)
