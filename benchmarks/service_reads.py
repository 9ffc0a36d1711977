"""Do readers disturb a measurement? 50 clients read tables while a job measures a real layer.

    python benchmarks/service_reads.py results.jsonl --pairs 20 --budget 30m

Blocks alternate: with readers, without. A block is a profile job of one convolution with its
candidates on onnxruntime-cpu, measured anew; what is compared are the block's speedups and the
latency of the original. Readers ask for a page of a network's table, each about once a second;
they run at a low priority, because in earnest they are other machines. Every finished block
is a line of the results, and a run goes on where the last one ended. The last lines are the
comparison: medians over blocks, with readers against without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLIENTS = 50
THINK_S = 1.0
QUANTUM = 64
SEED = 0


def one_layer() -> bytes:
    """A 3x3 convolution 256 -> 256 at 14x14: half a millisecond to a few."""
    weight = np.random.default_rng(SEED).normal(size=(256, 256, 3, 3)).astype(np.float32) * 0.02
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "layer", pads=[1, 1, 1, 1])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 256, 14, 14))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 256, 14, 14))],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class Service:
    """A service in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rankwise", "serve", "--port", "0"],
            cwd=folder,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if b"serves on" in line:
                self.url = line.split()[-1].decode() + "/api/v1"
                break
        # nobody else reads it, and a full pipe would stop the service
        subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)
        self.http = httpx.Client(base_url=self.url, timeout=120)

    def upload(self, content: bytes) -> str:
        headers = {"content-type": "application/octet-stream"}
        answer = self.http.post("/networks", content=content, headers=headers)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def run(self, **request: Any) -> None:
        job = self.http.post("/profiles", json=request).json()
        while job["state"] in ("queued", "running"):
            time.sleep(0.5)
            job = self.http.get(f"/jobs/{job['id']}").json()
        assert job["state"] == "done", job


async def read(url: str, stop: Path) -> list[float]:
    """What 50 clients wait for, in seconds, until the file `stop` is there."""
    waited: list[float] = []
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:

        async def one() -> None:
            await asyncio.sleep(random.uniform(0, THINK_S))
            while not stop.exists():
                began = time.perf_counter()
                answer = await client.get(url)
                answer.raise_for_status()
                waited.append(time.perf_counter() - began)
                await asyncio.sleep(THINK_S * random.uniform(0.5, 1.5))

        await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return waited


def readers(url: str, stop: Path) -> None:
    """The readers' process: prints what they waited for."""
    os.nice(10)
    print(json.dumps(asyncio.run(read(url, stop))))


def block(
    service: Service, network: str, folder: Path, table: str, reading: bool
) -> dict[str, Any]:
    """Measure once anew; the original's latency, each candidate's speedup, and the waits."""
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    process = None
    if reading:
        process = subprocess.Popen(
            [sys.executable, __file__, "--read", table, str(stop)], stdout=subprocess.PIPE
        )
        time.sleep(2)
    last = _last_session(folder)
    service.run(network=network, backend="onnxruntime-cpu", rank_quantum=QUANTUM, refresh=True)
    stop.touch()
    waited = json.loads(process.communicate()[0]) if process else []
    original, speedups = _measured(folder, last)
    return {
        "reading": reading,
        "original_s": original,
        "speedups": speedups,
        "waited_s": waited,
        "load": os.getloadavg()[0],
    }


def _last_session(folder: Path) -> int:
    with sqlite3.connect(folder / "rankwise.db") as connection:
        return int(connection.execute("select coalesce(max(id), 0) from sessions").fetchone()[0])


def _measured(folder: Path, last: int) -> tuple[float, dict[str, float]]:
    with sqlite3.connect(folder / "rankwise.db") as connection:
        rows = connection.execute(
            "select w.decomposition, avg(s.log_ratio), avg(s.original_s) from summaries s "
            "join workloads w on w.id = s.workload_id where s.session_id > ? group by w.id",
            (last,),
        ).fetchall()
    speedups = {str(name): float(np.exp(ratio)) for name, ratio, _ in rows}
    return float(np.median([original for *_, original in rows])), speedups


def compared(blocks: Sequence[dict[str, Any]]) -> None:
    """Medians over blocks, with readers against without; and the readers' waits."""
    with_, without = ([b for b in blocks if b["reading"] is r] for r in (True, False))
    waits = [s for b in with_ for s in b["waited_s"]]
    print(f"{len(with_)} blocks with {CLIENTS} readers, {len(without)} without")
    print(f"load of the machine: median {statistics.median(b['load'] for b in blocks):.1f}")
    latency = [statistics.median(b["original_s"] for b in part) for part in (with_, without)]
    print(
        f"original layer: {latency[0] * 1e6:.1f} us with, {latency[1] * 1e6:.1f} us without: "
        f"{latency[0] / latency[1] - 1:+.2%} (limit 5%)"
    )
    off = {
        name: statistics.median(b["speedups"][name] for b in with_)
        / statistics.median(b["speedups"][name] for b in without)
        - 1
        for name in without[0]["speedups"]
    }
    worst = max(off.values(), key=abs)
    typical = statistics.median(map(abs, off.values()))
    print(f"{len(off)} speedups: median difference {typical:.2%}, worst {worst:+.2%} (limit 2%)")
    noise = _scatter(without)
    print(f"scatter of a speedup between blocks without readers: {noise:.2%} (median)")
    if waits:
        p50, p99 = np.percentile(waits, [50, 99])
        print(
            f"{len(waits)} reads: median {p50 * 1e3:.0f} ms, 99th percentile {p99 * 1e3:.0f} ms "
            "(limit 300 ms)"
        )


def _scatter(blocks: Sequence[dict[str, Any]]) -> float:
    if len(blocks) < 2:
        return float("nan")
    names = blocks[0]["speedups"]
    return statistics.median(
        statistics.stdev(np.log([b["speedups"][name] for b in blocks])) for name in names
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--budget", default="30m", help="Start no block after this.")
    parser.add_argument("--network", type=Path, help="An .onnx whose table is read.")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        readers(given.read[0], Path(given.read[1]))
        return
    units = {"s": 1, "m": 60, "h": 3600}
    end = time.monotonic() + float(given.budget[:-1]) * units[given.budget[-1]]
    text = given.results.read_text() if given.results.exists() else ""
    blocks = [json.loads(line) for line in text.splitlines()]
    with tempfile.TemporaryDirectory(prefix="rankwise-") as name:
        folder = Path(name)
        service = Service(folder)
        try:
            table = _prepared(service, given.network)
            network = service.upload(one_layer())
            while len(blocks) < 2 * given.pairs and time.monotonic() < end:
                reading = sum(b["reading"] for b in blocks) <= len(blocks) / 2 and (
                    not blocks or not blocks[-1]["reading"]
                )
                blocks.append(block(service, network, folder, table, reading))
                with given.results.open("a") as file:
                    file.write(json.dumps(blocks[-1]) + "\n")
                shown = blocks[-1]
                print(
                    f"block {len(blocks)}: {'with' if reading else 'without'} readers, original "
                    f"{shown['original_s'] * 1e6:.1f} us, {len(shown['waited_s'])} reads",
                    flush=True,
                )
        finally:
            service.process.terminate()
            service.process.wait()
    if len(blocks) > 1:
        compared(blocks)


def _prepared(service: Service, network: Path | None) -> str:
    """The address of a table with rows: of a network on the fake device."""
    made = service.upload(network.read_bytes() if network else one_layer())
    service.run(network=made, backend="fake:step=16")
    return f"{service.url}/tables?network={made}&device=fake&limit=100"


if __name__ == "__main__":
    main()
