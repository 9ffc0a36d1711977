"""Fill a store like a busy team's and time the question that `rankwise table` asks of it.

    python benchmarks/store_million.py million.db --rows 1000000
    python benchmarks/store_million.py million.db --only-query

Four networks with the layers of ResNet-50 at four sizes (24 distinct specs each, the last
shared), measured on 20 devices, with the default candidates, two sessions each; times are
random numbers. Everything goes through `Store` as a profile would do it, save that a session
is one commit. The last line times the whole command, from starting Python to the last row.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rankwise.db import Store
from rankwise.profiler.candidates import default_candidates
from rankwise.records import (
    ORIGINAL,
    Candidate,
    DeviceFingerprint,
    LayerSpec,
    LayerUse,
    MeasurementPolicy,
    Sample,
)
from rankwise.stats import summarize_pairs

SIZES = (224, 192, 160, 128)
QUANTUM = 16
PREPARATIONS = 2
POLICY = MeasurementPolicy()


def layers(size: int) -> Iterator[LayerUse]:
    """The 53 convolutions and the linear layer of ResNet-50 for a square input."""
    yield _conv("conv1", 3, 64, size, 7, 2, 3)
    side, channels = size // 4, 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            stride = 2 if block == 0 and stage > 1 else 1
            yield _conv(f"{name}.conv1", channels, width, side, 1, 1, 0)
            yield _conv(f"{name}.conv2", width, width, side, 3, stride, 1)
            yield _conv(f"{name}.conv3", width, 4 * width, side // stride, 1, 1, 0)
            if block == 0:
                yield _conv(f"{name}.downsample.0", channels, 4 * width, side, 1, stride, 0)
            side, channels = side // stride, 4 * width
    yield LayerUse("fc", "linear", LayerSpec("linear", 2048, 1000, (2048,)))


def _conv(
    name: str, c_in: int, c_out: int, side: int, kernel: int, step: int, pad: int
) -> LayerUse:
    spec = LayerSpec(
        "conv2d",
        c_in,
        c_out,
        (c_in, side, side),
        (kernel, kernel),
        (step, step),
        (pad, pad, pad, pad),
        bias=False,
    )
    return LayerUse(name, "conv2d", spec)


def fill(store: Store, rows: int, devices: int) -> int:
    """Returns the number of samples; at least `rows`."""
    inventories = {size: tuple(layers(size)) for size in SIZES}
    for size, uses in inventories.items():
        store.put_network(f"{size:064x}", f"resnet50-{size}", (1, 3, size, size), uses)
    used = (use.spec for uses in inventories.values() for use in uses if use.spec is not None)
    groups = list(dict.fromkeys(used))  # each distinct spec once, as a profile would
    candidates = {
        spec: [Candidate(spec, d) for d in default_candidates(spec, None, QUANTUM)]
        for spec in groups
    }
    timed = sum(len(found) + 1 for found in candidates.values())
    rounds = -(-rows // (timed * devices * PREPARATIONS))
    rng = np.random.default_rng(0)
    for number in range(devices):
        chip = {"chip": f"chip {number // 2}", "cores": number % 2 + 1}
        fingerprint = DeviceFingerprint.of("fake", chip, {"driver": "1.0"})
        for spec in groups:
            for _ in range(PREPARATIONS):
                _session(store, fingerprint, candidates[spec], rounds, rng)
    return timed * devices * PREPARATIONS * rounds


def _session(
    store: Store,
    fingerprint: DeviceFingerprint,
    candidates: list[Candidate],
    rounds: int,
    rng: np.random.Generator,
) -> None:
    original = Candidate(candidates[0].spec, ORIGINAL)
    session = store.begin_session(fingerprint, POLICY, original, candidates, {"load": "0.1"})
    seconds = 1e-3 * rng.lognormal(0.0, 0.02, (len(candidates) + 1, rounds))
    store.add_round(
        session,
        [
            Sample(number, workload.key, "host", float(seconds[row, number]), 20)
            for row, workload in enumerate([original, *candidates])
            for number in range(rounds)
        ],
    )
    pairs = zip(candidates, seconds[1:], strict=True)
    store.end_session(session, {c.key: summarize_pairs(seconds[0], row) for c, row in pairs})


def query(path: Path) -> None:
    with Store.open(str(path), readonly=True) as store:
        began = time.perf_counter()
        found = store.measurements(network_sha=f"{SIZES[0]:064x}")
        elapsed = time.perf_counter() - began
    summaries = sum(len(m.summaries) for m in found)
    print(f"{len(found)} measurements from {summaries} summaries in {elapsed:.3f} s")
    command = [sys.executable, "-m", "rankwise", "table", "--db", str(path)]
    began = time.perf_counter()
    subprocess.run(
        [*command, "--model", f"resnet50-{SIZES[0]}"], check=True, stdout=subprocess.DEVNULL
    )
    print(f"rankwise table: {time.perf_counter() - began:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000, help="raw samples, at least")
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--only-query", action="store_true", help="the store is there already")
    options = parser.parse_args()
    if not options.only_query:
        began = time.perf_counter()
        with Store.open(str(options.path)) as store:
            rows = fill(store, options.rows, options.devices)
        size = options.path.stat().st_size / 2**20
        print(f"{rows} samples in {time.perf_counter() - began:.1f} s, {size:.0f} MiB")
    query(options.path)


if __name__ == "__main__":
    main()
