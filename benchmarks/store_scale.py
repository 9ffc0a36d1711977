"""Fill stores like a busy lab's, and see whether the table of one network and device stays quick.

    python benchmarks/store_scale.py /tmp/scale                 # 1 and 10 million samples
    python benchmarks/store_scale.py /tmp/scale --rows 1000000 --devices 20
    python benchmarks/store_scale.py /tmp/scale --merge         # and export, import, compare

A store has networks with the layers of ResNet-50, each for another input size (24 distinct specs
a network, the last shared), on 50 devices, with the default candidates, two sessions each; times
are random numbers. Ten times the samples are ten times the networks. A store that is
there already is used again; delete the folder in the end.

Query times are medians of alternating runs, each in a process of its own: `first` is its first
query, `warm` the median of those after it, `whole command` is `rankwise table`, from starting
Python to the last row.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from statistics import median

import numpy as np

from rankwise.db import MeasurementFilter, Store
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

SMALLEST = 64
STEP = 32
NETWORKS_A_MILLION = 4
QUANTUM = 16
PREPARATIONS = 2
REPEATS = 7
COMPARED_NETWORKS = 2
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


def sizes(networks: int) -> list[int]:
    return [SMALLEST + STEP * number for number in range(networks)]


def device(number: int) -> DeviceFingerprint:
    chip = {"chip": f"chip {number // 2}", "cores": number % 2 + 1}
    return DeviceFingerprint.of("fake", chip, {"driver": "1.0"})


Group = tuple[Candidate, list[Candidate], list[str]]
"""An original, its candidates, and the keys of all of them."""


def groups(store: Store, networks: int) -> list[Group]:
    """Store the networks' inventories; each distinct spec once, as a profile would measure it."""
    inventories = {size: tuple(layers(size)) for size in sizes(networks)}
    for size, uses in inventories.items():
        store.networks.put(f"{size:064x}", f"resnet50-{size}", (1, 3, size, size), uses)
    used = (use.spec for uses in inventories.values() for use in uses if use.spec is not None)
    return [_group(spec) for spec in dict.fromkeys(used)]


def _group(spec: LayerSpec) -> Group:
    original = Candidate(spec, ORIGINAL)
    candidates = [Candidate(spec, d) for d in default_candidates(spec, None, QUANTUM)]
    return original, candidates, [workload.key for workload in (original, *candidates)]


def fill(store: Store, rows: int, devices: int, networks: int) -> int:
    """Returns the number of samples; at least `rows`. A session's rounds are one commit."""
    found = groups(store, networks)
    timed = sum(len(keys) for *_, keys in found)
    rounds = -(-rows // (timed * devices * PREPARATIONS))
    rng = np.random.default_rng(0)
    for number in range(devices):
        for group in found * PREPARATIONS:
            _session(store, device(number), group, rounds, rng)
    return timed * devices * PREPARATIONS * rounds


def _session(
    store: Store,
    fingerprint: DeviceFingerprint,
    group: Group,
    rounds: int,
    rng: np.random.Generator,
) -> None:
    original, candidates, keys = group
    session = store.sessions.begin(fingerprint, POLICY, original, candidates, {"load": "0.1"})
    seconds = 1e-3 * rng.lognormal(0.0, 0.02, (len(keys), rounds))
    store.sessions.add_round(session, [s for r in range(rounds) for s in timed(r, keys, seconds)])
    pairs = zip(keys[1:], seconds[1:], strict=True)
    store.sessions.end(session, {key: summarize_pairs(seconds[0], row) for key, row in pairs})


def timed(round_number: int, keys: list[str], seconds: np.ndarray) -> list[Sample]:
    row = seconds[:, round_number].tolist()
    return [Sample(round_number, k, "host", s, 20) for k, s in zip(keys, row, strict=True)]


def as_a_profile_does(folder: Path) -> None:
    """Insert rate with a commit for each round and a flush of the disk for each session."""
    path = folder / "rate.db"
    path.unlink(missing_ok=True)
    rounds, rng = 20, np.random.default_rng(0)
    with Store.open(str(path)) as store:
        found = groups(store, 1)
        began, count = time.perf_counter(), 0
        for original, candidates, keys in found:
            seconds = 1e-3 * rng.lognormal(0.0, 0.02, (len(keys), rounds))
            session = store.sessions.begin(device(0), POLICY, original, candidates, {"load": "0.1"})
            for number in range(rounds):
                store.sessions.add_round(session, timed(number, keys, seconds))
            pairs = zip(keys[1:], seconds[1:], strict=True)
            store.sessions.end(session, {k: summarize_pairs(seconds[0], row) for k, row in pairs})
            count += len(keys) * rounds
        elapsed = time.perf_counter() - began
    round_ms = elapsed / len(found) / rounds * 1e3
    print(f"round by round: {count / elapsed:,.0f} samples/s, {round_ms:.1f} ms a round")


def make(path: Path, rows: int, devices: int) -> None:
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        began = time.perf_counter()
        with Store.open(str(part)) as store:
            found = fill(store, rows, devices, max(1, rows * NETWORKS_A_MILLION // 1_000_000))
        elapsed = time.perf_counter() - began
        part.replace(path)
        print(f"{path.name}: {found} samples in {elapsed:.1f} s, {found / elapsed:,.0f} samples/s")
    with closing(sqlite3.connect(path)) as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM samples")
        [(summaries,)] = connection.execute("SELECT count(*) FROM summaries")
        [(sessions,)] = connection.execute("SELECT count(*) FROM sessions")
    size = path.stat().st_size
    print(
        f"{path.name}: {found} samples, {sessions} sessions, {summaries} summaries, "
        f"{size / 2**20:.0f} MiB, {size / found:.1f} bytes a sample with all that belongs to it"
    )


ASK = """
import sys, time
from statistics import median
from rankwise.db import MeasurementFilter, Store
from rankwise.workflow.table import stored_table
with Store.open(sys.argv[1], readonly=True) as store:
    taken, cpu = [], []
    for _ in range(int(sys.argv[4])):
        began, used = time.perf_counter(), time.process_time()
        wanted = MeasurementFilter(network_sha=sys.argv[2], hardware_key=sys.argv[3] or None)
        found = store.measurements.find(wanted)
        taken.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    began = time.perf_counter()
    stored_table(store, sys.argv[2], [sys.argv[3]] if sys.argv[3] else [])
    table = time.perf_counter() - began
print(taken[0], median(taken[1:]), median(cpu[1:]), len(found), table)
"""


def ask(path: Path, hardware_key: str, times: int) -> list[float]:
    """In a process of its own: seconds of the first query, median of the others, median of
    their CPU time; how many measurements came; and seconds of the whole table made of them."""
    network = f"{SMALLEST:064x}"
    words = [sys.executable, "-P", "-c", ASK, str(path), network, hardware_key, str(times)]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in text.split()]


def command(path: Path, hardware_key: str) -> float:
    words = [sys.executable, "-P", "-m", "rankwise", "table", "--db", str(path)]
    words += ["--model", f"resnet50-{SMALLEST}", "--device", hardware_key]
    began = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def columns(runs: list[list[float]]) -> list[float]:
    return [median(column) for column in zip(*runs, strict=True)]


def query(paths: list[Path]) -> None:
    one = device(0).hardware_key
    asked: dict[Path, list[list[float]]] = {path: [] for path in paths}
    all_devices: dict[Path, list[list[float]]] = {path: [] for path in paths}
    commands: dict[Path, list[float]] = {path: [] for path in paths}
    for _ in range(REPEATS):
        for path in paths:
            asked[path].append(ask(path, one, 20))
            all_devices[path].append(ask(path, "", 3))
            commands[path].append(command(path, one))
    warm, cpu = {}, {}
    for path in paths:
        first, warm[path], cpu[path], count, table = columns(asked[path])
        of_all = columns(all_devices[path])
        print(
            f"{path.name}: one network, one device: {count:.0f} measurements, first "
            f"{first * 1e3:.0f} ms, warm {warm[path] * 1e3:.0f} ms ({cpu[path] * 1e3:.1f} ms of "
            f"CPU), table {table:.2f} s, whole command {median(commands[path]):.2f} s; on all "
            f"devices {of_all[3]:.0f} measurements, warm {of_all[1]:.2f} s, table {of_all[4]:.2f} s"
        )
    if len(paths) > 1:
        small, large = paths[0], paths[-1]
        print(
            f"growth of the warm query: {warm[large] / warm[small]:.2f}x by the clock on the "
            f"wall, {cpu[large] / cpu[small]:.2f}x of CPU"
        )


def merge(path: Path, *, again: bool) -> None:
    """Export, import into an empty store, and compare both; with `again`, import once more."""
    archive, other = path.with_suffix(".zip"), path.with_suffix(".copy")
    for old in (archive, other):
        old.unlink(missing_ok=True)
    began = time.perf_counter()
    with Store.open(str(path), readonly=True) as store:
        store.export_archive(archive)
    exported = time.perf_counter()
    print(f"export {exported - began:.1f} s, {archive.stat().st_size / 2**20:.0f} MiB", flush=True)
    with Store.open(str(other)) as copy:
        merged = copy.import_archive(archive)
        imported = time.perf_counter()
        print(f"import {imported - exported:.1f} s: {merged}", flush=True)
        if again:
            merged = copy.import_archive(archive)
            print(f"import again {time.perf_counter() - imported:.1f} s: {merged}", flush=True)
    print(f"tables: {compare(path, other, COMPARED_NETWORKS)}; CPU {time.process_time():.0f} s")


SAME = (
    "SELECT id, uuid, device_id, policy_id, started_at, ended_at FROM sessions ORDER BY id",
    "SELECT id, key FROM workloads ORDER BY id",
    "SELECT id, key FROM devices ORDER BY id",
    "SELECT * FROM summaries ORDER BY workload_id, device_id, policy_id, session_id",
    "SELECT * FROM samples ORDER BY session_id, workload_id, round, clock",
)
"""An import into an empty store gives the same ids, so rows can be compared as they stand."""


def compare(path: Path, other: Path, networks: int) -> str:
    with closing(sqlite3.connect(path)) as mine, closing(sqlite3.connect(other)) as theirs:
        for query in SAME:
            count = 0
            pairs = zip_longest(mine.execute(query), theirs.execute(query))
            for count, (a, b) in enumerate(pairs, start=1):
                if a != b:
                    return f"ROW {count} OF {query!r} DIFFERS: {a} {b}"
    found = 0
    with Store.open(str(path), readonly=True) as a, Store.open(str(other), readonly=True) as b:
        for size in sizes(networks):
            here = a.measurements.find(MeasurementFilter(network_sha=f"{size:064x}"))
            if here != b.measurements.find(MeasurementFilter(network_sha=f"{size:064x}")):
                return f"THE TABLE OF resnet50-{size} DIFFERS"
            found += len(here)
        problems = b.check()
    return (
        f"identical: {count} samples, {found} measurements of {networks} networks; "
        f"db check: {problems or 'clean'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--merge", action="store_true", help="export and import the largest")
    parser.add_argument("--again", action="store_true", help="and import it once more")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    paths = [options.folder / f"{rows}.db" for rows in options.rows]
    as_a_profile_does(options.folder)
    for path, rows in zip(paths, options.rows, strict=True):
        make(path, rows, options.devices)
    query(paths)
    if options.merge:
        merge(paths[-1], again=options.again)


if __name__ == "__main__":
    main()
