"""Power on the real clock: the same runner, looped 100 against 95 times, and 101 against 100.

    python benchmarks/power.py power.jsonl --budget 30m

The first is a true speedup of 1.053: wanted is the verdict FASTER in at least 95% of 200 pairs,
within 5 s each. The second is below what matters: at most 1% may be FASTER or SLOWER.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict

from harness import arguments, begin, show, until, verdict

from rankwise import stats
from rankwise.backends.base import Workload
from rankwise.backends.registry import open_backend
from rankwise.lowrank import lower
from rankwise.profiler.aa import aa_pair
from rankwise.profiler.process_executor import ProcessExecutor
from rankwise.records import ORIGINAL, Effort, LayerSpec, MeasurementPolicy

SPEC = LayerSpec("conv2d", 64, 64, (64, 14, 14), (3, 3), padding=(1, 1, 1, 1), bias=False)
CASES = ((100, 95), (101, 100))
BACKENDS = ("onnxruntime-cpu", "torch-cpu")


class Looped:
    """A bench on which `first` and `second` are one runner, run this often for one timing."""

    def __init__(self, bench: ProcessExecutor, first: int, second: int) -> None:
        self.bench, self.times = bench, {"first": first, "second": second}

    def prepare(self, workload: Workload) -> None:
        if workload.key == "first":
            self.bench.prepare(workload)

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        count = self.times[key] * loops
        found = self.bench.run("first", count)
        return {clock: seconds * self.times[key] for clock, seconds in found.items()}

    def release(self, key: str) -> None:
        if key == "first":
            self.bench.release(key)

    def renew(self) -> None:
        self.bench.renew()

    def close(self) -> None:
        self.bench.close()


def main() -> None:
    options = arguments(__doc__ or "", pairs=200)
    log, budget = begin(options)
    for backend in BACKENDS:
        policy = open_backend(backend).resolve_policy(MeasurementPolicy())
        for first, second in CASES:
            cell = {"backend": backend, "first": first, "second": second}
            with closing(ProcessExecutor(backend, policy, 120)) as child:
                bench = Looped(child, first, second)
                for number in until(budget, lambda c=cell: len(log.of(**c)), options.pairs):
                    start = time.monotonic()
                    found = aa_pair(bench, lower(SPEC, ORIGINAL), Effort(), number)
                    elapsed = time.monotonic() - start
                    log.add(**cell, pair=number, seconds=elapsed, found=asdict(found))
    for backend in BACKENDS:
        for first, second in CASES:
            report(backend, first, second, log.of(backend=backend, first=first, second=second))


def report(backend: str, first: int, second: int, rows: list[dict]) -> None:
    if not rows:
        return
    bounds = [(row["found"]["speedup_low"], row["found"]["speedup_high"]) for row in rows]
    counts = Counter(str(stats.verdict(*each)) for each in bounds)
    times = sorted(row["seconds"] for row in rows)
    print(f"{backend}, {first} against {second} times, {len(rows)} pairs")
    show(
        ("verdict", "pairs"),
        [*sorted(counts.items()), ("slowest pair, s", times[-1])],
    )
    if first - second > 1:
        share = counts["FASTER"] / len(rows)
        verdict("right verdicts", share, share >= 0.95, "at least 0.95")
        verdict("slowest pair in seconds", times[-1], times[-1] <= 5, "at most 5")
    else:
        share = (counts["FASTER"] + counts["SLOWER"]) / len(rows)
        verdict("wrong verdicts", share, share <= 0.01, "at most 0.01")


if __name__ == "__main__":
    main()
