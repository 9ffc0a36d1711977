"""One shared profile by 1, 2, 4 and 8 real workers: wall seconds, against the ideal.

    python benchmarks/sharding_real.py /tmp/sharding
    python benchmarks/sharding_real.py /tmp/sharding --layers 20 --devices 1 2

`sharding.py` plays the clocks of devices; here all is real but the devices. For each number of them
PostgreSQL, scheduler, service and so many workers start anew, each on a host of its own with a fake
device of one kind, whose timings sleep for `--takes-ms`. Once all devices are idle, one profile is
asked for, as `profile --share` does. Ideal is the first number of devices' time, shared out. The
devices' time is divided into timings, starts of parts (from the last timing of one process, or the
question, to the first timing of the next), the time between timings, and the wait for the last
part. It ends with status 1 where a verdict is not what the first number of devices has found.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from fleet_lab import Bench, Lab
from fleet_network import write_linear_layers

from rankwise.workflow.table import table_document

KIND = "fake:step=16,launch_us=1,gmacs=1"
HOW = {"kinds": ["svd"], "rank_quantum": 32, "device": "label=bench"}
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """What a profile by so many devices took, where their time went, and what it said."""

    seconds: float
    shares: dict[str, float]
    busy: float
    timings: int
    rows: frozenset[Row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--takes-ms", type=float, default=15.0)
    asked = parser.parse_args()
    runs: dict[int, Run] = {}
    for count in asked.devices:
        folder = asked.folder.absolute() / f"{count}-devices"
        shutil.rmtree(folder, ignore_errors=True)
        runs[count] = profile(folder, count, asked)
        report(asked.devices[0], count, runs)
    first = runs[asked.devices[0]]
    sys.exit(int(any(run.rows != first.rows for run in runs.values())))


def profile(folder: Path, count: int, asked: argparse.Namespace) -> Run:
    """Start a lab of so many devices, and let them share one profile."""
    backend = f"{KIND},takes_ms={asked.takes_ms}"
    lab = Lab(folder, [Bench(f"{backend},board=b{n}", f"host-{n}", "bench") for n in range(count)])
    try:
        lab.start_all()
        content = write_linear_layers(folder / "net.onnx", asked.layers).read_bytes()
        octets = {"content-type": "application/octet-stream"}
        sent = {"content": content, "headers": octets, "params": {"name": "net.onnx"}}
        network = lab.ask("POST", "/networks", **sent)["id"]
        until(lambda: len(idle(lab)) == count)
        psutil.cpu_percent()
        began = time.monotonic_ns()
        job = lab.ask("POST", "/shared_profiles", json={**HOW, "network": network})
        ended = until(lambda: over(lab, job["id"]))
        end, busy = time.monotonic_ns(), psutil.cpu_percent()
        if ended["state"] != "done":
            sys.exit(f"the profile has failed: {ended['error']}")
        shares, timings = where_time_went(lab.timings, began, end, count)
        return Run((end - began) / 1e9, shares, busy, timings, rows_of(lab.db))
    finally:
        lab.stop()


def idle(lab: Lab) -> list[Any]:
    devices = (lab.ask("GET", "/fleet") or {"devices": []})["devices"]
    return [device for device in devices if device["state"] == "idle"]


def over(lab: Lab, job: str) -> dict[str, Any] | None:
    """The job, once it has ended."""
    found: dict[str, Any] | None = lab.ask("GET", f"/jobs/{job}")
    return None if found is None or found["state"] in ("queued", "running") else found


def until(ready: Callable[[], Any]) -> Any:
    while not (found := ready()):
        time.sleep(0.2)
    return found


def rows_of(db: str) -> frozenset[Row]:
    return frozenset(
        (row.spec_key, str(row.decomposition), round(row.speedup or 0.0, 6), row.verdict)
        for row in table_document(db=db).rows
    )


def where_time_went(path: Path, began: int, end: int, devices: int) -> tuple[dict[str, float], int]:
    """Shares of all devices' time between two nanoseconds, and how many timings there were."""
    by_host: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["at_ns"] >= began:
            by_host[event["host"]].append(event)
    spent: Counter[str] = Counter(
        {"waits for the last part": (devices - len(by_host)) * (end - began)}
    )
    for events in by_host.values():
        last, pid = began, None
        for event in events:
            spent[_what(event, pid)] += event["at_ns"] - last
            last, pid = event["at_ns"], event["pid"]
        spent["waits for the last part"] += end - last
    timings = sum(len(events) for events in by_host.values()) // 2
    return {what: ns / (devices * (end - began)) for what, ns in spent.items()}, timings


def _what(event: dict[str, Any], pid: int | None) -> str:
    """What a device did until then."""
    if event["event"] == "end":
        return "timings"
    return "between timings" if event["pid"] == pid else "starts of parts"


def report(first: int, count: int, runs: dict[int, Run]) -> None:
    alone, run = runs[first], runs[count]
    ideal_s = alone.seconds * first / count
    shares = ", ".join(f"{what} {share:.0%}" for what, share in run.shares.items())
    verdicts = dict(Counter(row[-1] for row in run.rows))
    print(
        f"{count} devices: {run.seconds:.1f} s, {run.seconds / ideal_s:.2f} of the ideal "
        f"{ideal_s:.1f} s; {run.timings} timings; of the devices' time: {shares}; "
        f"{os.cpu_count()} processors {run.busy:.0f}% busy; {len(run.rows)} rows {verdicts}, "
        f"{len(run.rows ^ alone.rows)} unlike those of {first}",
        flush=True,
    )


if __name__ == "__main__":
    main()
