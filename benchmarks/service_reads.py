"""Do readers disturb a measurement? 50 clients read tables while a layer is measured.

    python benchmarks/service_reads.py results.jsonl --pairs 60 --budget 10m

A real convolution and three of its candidates are timed on onnxruntime-cpu by the measuring
process that profiles use, in turns and in random order, while a service runs beside. Blocks of a
few seconds alternate: with readers, without, or the other way round; what is compared are the
two blocks of a pair, so that a machine that is faster in some minutes than in others does not
matter. Readers ask for a page of a network's table, each about once a second; they run at a low
priority, because in earnest they are other machines. Every pair is a line of the results, and a
run goes on where the last one ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from rankwise.backends.base import ChainWorkload
from rankwise.backends.registry import open_backend
from rankwise.lowrank import lower
from rankwise.profiler.executor import Executor
from rankwise.profiler.process_executor import ProcessExecutor
from rankwise.records import ORIGINAL, Decomposition, LayerSpec, MeasurementPolicy

CLIENTS = 50
THINK_S = 1.0
SETTLE_S = 0.5
SPEC = LayerSpec("conv2d", 256, 256, (256, 14, 14), (3, 3), padding=(1, 1, 1, 1))
CANDIDATES = {
    "channel_svd 64": Decomposition("channel_svd", (64,)),
    "spatial_svd 64": Decomposition("spatial_svd", (64,)),
    "tucker2 64x64": Decomposition("tucker2", (64, 64)),
}
ROUND_S = 0.012

Block = dict[str, Any]


class Service:
    """A service in a process of its own, with a network's table to read."""

    def __init__(self, folder: Path) -> None:
        log = folder / "log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rankwise", "serve", "--port", "0"],
                cwd=folder,
                stderr=output,
                stdout=output,
            )
        while not (found := re.search(r"serves on (\S+)", log.read_text())):
            time.sleep(0.05)
        self.http = httpx.Client(base_url=f"{found[1]}/api/v1", timeout=120)

    def table(self, network: str) -> str:
        """The address of a page of a network's table, measured on the fake device."""
        asked = {"network": network, "backend": "fake:step=16"}
        job = self.http.post("/profiles", json=asked).json()
        while job["state"] in ("queued", "running"):
            time.sleep(0.5)
            job = self.http.get(f"/jobs/{job['id']}").json()
        sha256 = self.http.get(f"/networks/{network}").json()["sha256"]
        address = f"{self.http.base_url}tables?network={sha256}&limit=100"
        rows = httpx.get(address, timeout=60).json()["rows"]
        print(f"the table that is read has {len(rows)} rows on its first page", flush=True)
        return address


async def read(url: str, going: Path, done: Path) -> list[float]:
    """What 50 clients wait for, in seconds; they read while the file `going` is there."""
    waited: list[float] = []
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:

        async def one() -> None:
            while not done.exists():
                await asyncio.sleep(THINK_S * random.uniform(0.5, 1.5))
                if going.exists():
                    began = time.perf_counter()
                    (await client.get(url)).raise_for_status()
                    waited.append(time.perf_counter() - began)

        await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return waited


def readers(url: str, going: Path, done: Path) -> None:
    """The readers' process: prints what they waited for."""
    os.nice(10)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    print(json.dumps(asyncio.run(read(url, going, done))))


def prepared(bench: Executor) -> dict[str, int]:
    """Executions a timing, by workload."""
    loops = {}
    for name, decomposition in {"original": ORIGINAL, **CANDIDATES}.items():
        bench.prepare(ChainWorkload(name, lower(SPEC, decomposition)))
        seconds = min(bench.run(name, 3)["host"] for _ in range(5))
        loops[name] = max(1, round(ROUND_S / seconds))
    return loops


def block(bench: Executor, loops: dict[str, int], seconds: float) -> Block:
    """Rounds for that long: the original's median latency, each candidate's median speedup."""
    rounds: list[dict[str, float]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(rounds) < 5:
        order = random.sample(list(loops), len(loops))
        rounds.append({name: bench.run(name, loops[name])["host"] for name in order})
    return {
        "original_s": statistics.median(r["original"] for r in rounds),
        "speedups": {
            name: statistics.median(r["original"] / r[name] for r in rounds) for name in CANDIDATES
        },
        "rounds": len(rounds),
    }


def pair(bench: Executor, loops: dict[str, int], seconds: float, going: Path) -> dict[str, Block]:
    """One block with readers and one without, in random order."""
    found = {}
    for name in random.sample(["with", "without"], 2):
        going.unlink(missing_ok=True)
        if name == "with":
            going.touch()
        time.sleep(SETTLE_S)
        found[name] = block(bench, loops, seconds)
    going.unlink(missing_ok=True)
    return found


def compared(pairs: Sequence[dict[str, Block]]) -> None:
    """With readers against without, within pairs: the median and its 95% interval."""
    latency = [np.log(p["with"]["original_s"] / p["without"]["original_s"]) for p in pairs]
    _say("original's latency", latency, 5)
    for name in CANDIDATES:
        changes = [
            np.log(p["with"]["speedups"][name] / p["without"]["speedups"][name]) for p in pairs
        ]
        _say(f"speedup of {name}", changes, 2)
    print(f"{len(pairs)} pairs of blocks, {CLIENTS} readers")


def _say(what: str, logs: Sequence[float], limit: float) -> None:
    rng = np.random.default_rng(0)
    medians = [np.median(rng.choice(logs, len(logs))) for _ in range(2000)]
    low, high = np.expm1(np.percentile(medians, [2.5, 97.5]))
    print(f"{what}: {np.expm1(np.median(logs)):+.2%} [{low:+.2%}, {high:+.2%}] (limit {limit}%)")


def measure(given: argparse.Namespace, folder: Path, service: Service) -> list[float]:
    """Append pairs to the results; what the readers waited for."""
    going, done = folder / "going", folder / "done"
    table = service.table(given.network)
    words = [sys.executable, __file__, "--read", table, str(going), str(done)]
    policy = open_backend("onnxruntime-cpu").resolve_policy(MeasurementPolicy())
    end = time.monotonic() + _seconds(given.budget)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        with closing(ProcessExecutor("onnxruntime-cpu", policy, 120)) as bench:
            loops = prepared(bench)
            while len(_kept(given.results)) < given.pairs and time.monotonic() < end:
                found = pair(bench, loops, _seconds(given.block), going)
                with given.results.open("a") as file:
                    file.write(json.dumps(found) + "\n")
        done.touch()
        assert process.stdout is not None
        waited: list[float] = json.loads(process.stdout.read())
    return waited


def _kept(results: Path) -> list[dict[str, Block]]:
    text = results.read_text() if results.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def _seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--block", default="3s")
    parser.add_argument("--budget", default="10m", help="Start no pair after this.")
    parser.add_argument("--network", default="resnet18", help="One of the zoo: its table is read.")
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        readers(given.read[0], Path(given.read[1]), Path(given.read[2]))
        return
    with tempfile.TemporaryDirectory(prefix="rankwise-") as name:
        service = Service(Path(name))
        try:
            waited = measure(given, Path(name), service)
        finally:
            service.process.terminate()
            service.process.wait()
    compared(_kept(given.results))
    if waited:
        p50, p99 = np.percentile(waited, [50, 99]) * 1e3
        print(f"{len(waited)} reads: median {p50:.0f} ms, 99% {p99:.0f} ms (limit 300 ms)")
    print(f"load of the machine in the last minute: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
