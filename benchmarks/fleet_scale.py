"""A fleet of a thousand devices and a hundred thousand jobs: what it costs, and who has to wait.

    python benchmarks/fleet_scale.py /tmp/scale --workers 100 --jobs 100000 --seconds 120

PostgreSQL, Dask's scheduler and the service are real, each in its process; the workers are Dask's
own, all in one process, each with its share of the devices, and play their jobs
(`fleet_members.py`). A tenth of the jobs lies in the store as done, the rest waits: half of them
for one device each, half for any of a lab. For so many seconds the service gives out jobs while
the page's questions are asked one after another. Prints CPU seconds of scheduler and service a
job, the answers' times, and memory.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from fleet_lab import Lab
from fleet_network import write_network

from rankwise.clock import now
from rankwise.db import Store
from rankwise.db.tables import jobs
from rankwise.jobs.requests import REQUESTS
from rankwise.records import content_key

PAGE = {
    "jobs, newest": "/jobs?limit=100",
    "jobs that run": "/jobs?state=running&limit=100",
    "the queue": "/jobs?state=queued&oldest_first=true&limit=10",
    "fleet": "/fleet",
    "one device": "/fleet?device=id%3D{device}",
    "its history": "/jobs?device={device}&limit=50",
    "overview: devices": "/devices",
    "overview: networks": "/networks?limit=1000",
    "overview: plans": "/plans?limit=8",
    "session": "/session",
}
START_S = 600.0
QUANTA = 4096


def rows(count: int, devices: int, network: str) -> Iterator[dict[str, Any]]:
    """Jobs that differ in device, rank quantum and seconds; the first tenth is done."""
    model = REQUESTS["profile"]
    empty = model.model_validate({"network": network}).model_dump(mode="json")
    for number in range(count):
        device = f"id={number % devices:012x}" if number % 2 else f"label=lab-{number // 2 % 40}"
        quantum, seconds = 1 + number % QUANTA, 1.0 + number // QUANTA
        asked = {**empty, "device": device, "rank_quantum": quantum, "max_time_s": seconds}
        done = number < count // 10
        yield {
            "uuid": f"{number:032x}",
            "kind": "profile",
            "request": asked,
            "request_key": content_key(["profile", asked]),
            "state": "done" if done else "queued",
            "progress": {"done": 1, "total": 1, "text": "", "log": [{"at": now(), "text": "x"}]},
            "result": {"measured": 1} if done else None,
            "error": "",
            "created_at": now(),
            "attempt": int(done),
            "device": f"{number % devices:012x}" if done else None,
        }


def fill(db: str, count: int, devices: int, network: str) -> None:
    """Put the jobs into the store, past the service: what it takes to ask is measured apart."""
    with Store.open(db, create=False) as store:
        found = list(rows(count, devices, network))
        for first in range(0, count, 5000):
            with store.database.writing() as connection:
                connection.execute(jobs.insert(), found[first : first + 5000])


def done(db: str) -> int:
    with Store.open(db, create=False) as store:
        return store.jobs.page(states=("done",), limit=1)[1]


class Cost:
    """What processes have used since."""

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in processes.items()}
        self._before = self._cpu()

    def _cpu(self) -> dict[str, float]:
        return {n: sum(p.cpu_times()[:2]) for n, p in self._processes.items()}

    def report(self, count: int) -> None:
        for name, now_s in self._cpu().items():
            used, size = now_s - self._before[name], self._processes[name].memory_info().rss
            each = f"{used / count * 1e3:.1f} ms a job" if count else "no job was done"
            print(f"{name}: {used:.1f} CPU s, {each}, {size / 2**20:.0f} MiB")


def ask(http: httpx.Client, until: float, device: str) -> dict[str, list[float]]:
    """Seconds of each answer, by what was asked."""
    took: dict[str, list[float]] = {name: [] for name in PAGE}
    while time.monotonic() < until:
        for name, path in PAGE.items():
            began = time.monotonic()
            http.get(path.format(device=device)).raise_for_status()
            took[name].append(time.monotonic() - began)
            time.sleep(0.05)
    return took


def submissions(http: httpx.Client, network: str, count: int) -> list[float]:
    """Seconds of each request for a job, while all the others wait."""
    took = []
    for number in range(count):
        body = {"network": network, "device": f"id={number:012x}", "max_time_s": 5000.5 + number}
        began = time.monotonic()
        assert http.post("/profiles", json=body).status_code == 202
        took.append(time.monotonic() - began)
    return took


def show(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    high = ordered[math.ceil(0.95 * len(ordered)) - 1]
    middle = statistics.median(ordered)
    print(f"{name}: median {middle * 1e3:.0f} ms, 95% under {high * 1e3:.0f} ms, n {len(ordered)}")


def start_members(lab: Lab, workers: int, devices: int) -> subprocess.Popen[bytes]:
    """The process with all workers, once they are there."""
    ready = lab.folder / "ready"
    ready.unlink(missing_ok=True)
    script = str(Path(__file__).with_name("fleet_members.py"))
    scheduler = f"tcp://127.0.0.1:{lab.scheduler_port}"
    counts = [str(workers), str(devices)]
    with (lab.folder / "members.log").open("wb") as log:
        words = [sys.executable, "-P", script, scheduler, lab.db, *counts, str(ready)]
        members = subprocess.Popen(words, stdout=log, stderr=log)
    began = time.monotonic()
    while not ready.exists():
        if members.poll() is not None or time.monotonic() - began > START_S:
            sys.exit(f"the workers did not start: see {lab.folder / 'members.log'}")
        time.sleep(0.5)
    print(f"{workers} workers with {devices} devices joined in {time.monotonic() - began:.0f} s")
    return members


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=120.0)
    asked = parser.parse_args()
    # all workers share a process, which starves on a busy machine
    os.environ["DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL"] = "10m"
    lab = Lab(asked.folder.absolute(), (), max_jobs=10 * asked.jobs)
    members = None
    try:
        for name in ("database", "scheduler"):
            lab.start(name)
        lab.wait_for_database()
        lab.start("service")
        lab.wait_for_service()
        root = f"http://127.0.0.1:{lab.service_port}/api/v1"
        with httpx.Client(base_url=root, timeout=300) as http:
            content = write_network(lab.folder / "one.onnx").read_bytes()
            octets = {"content-type": "application/octet-stream"}
            answer = http.post("/networks", content=content, headers=octets, params={"name": "one"})
            network = answer.json()["id"]
            members = start_members(lab, asked.workers, asked.devices)
            fill(lab.db, asked.jobs, asked.devices, network)
            print(f"{asked.jobs} jobs are in the store")
            run(lab, http, network, asked)
    finally:
        if members is not None:
            members.kill()
            members.wait()
        lab.stop()


def run(lab: Lab, http: httpx.Client, network: str, asked: argparse.Namespace) -> None:
    """Let the fleet work for a while, and print what it cost."""
    time.sleep(10)
    watched = {name: lab.running[name].pid for name in ("scheduler", "service")}
    before, cost, began = done(lab.db), Cost(watched), time.monotonic()
    took = ask(http, began + asked.seconds, f"{1:012x}")
    seconds, finished = time.monotonic() - began, done(lab.db) - before
    print(f"{finished} jobs were done in {seconds:.0f} s: {finished / seconds:.1f} a second")
    cost.report(finished)
    for name, times in took.items():
        show(name, times)
    show("asking for a job", submissions(http, network, 20))


if __name__ == "__main__":
    main()
