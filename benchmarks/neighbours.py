"""Do prepared neighbours disturb the one that is timed? ONNX Runtime, two threads.

    python benchmarks/neighbours.py neighbours.jsonl --budget 15m

The 3x3 256->256 layer at 14x14 is timed in alternating blocks: alone, and with other prepared
candidates of its own alive, each of which has just run (alone, the layer itself has, as often:
on a busy machine a process that was asked more often is scheduled otherwise). Wanted: over at
least 20 pairs of blocks the interval of the ratio (with / without) lies inside [0.95, 1.05].
"""

from __future__ import annotations

from contextlib import closing
from math import exp, log

import numpy as np
from harness import arguments, begin, until, verdict
from scipy import stats as scipy_stats

from rankwise.backends.base import ChainWorkload
from rankwise.backends.registry import open_backend
from rankwise.lowrank import lower
from rankwise.profiler.candidates import default_candidates
from rankwise.profiler.process_executor import ProcessExecutor
from rankwise.profiler.session import loops_for
from rankwise.records import ORIGINAL, LayerSpec, MeasurementPolicy

BACKEND = "onnxruntime-cpu"
SPEC = LayerSpec("conv2d", 256, 256, (256, 14, 14), (3, 3), padding=(1, 1, 1, 1), bias=False)
NEIGHBOURS, ROUNDS = 12, 15


def main() -> None:
    options = arguments(__doc__ or "", blocks=40, threads=2)
    results, budget = begin(options, threads=options.threads)
    policy = open_backend(BACKEND).resolve_policy(MeasurementPolicy(threads=options.threads))
    others = [ChainWorkload(str(d), lower(SPEC, d)) for d in default_candidates(SPEC, None, 16, 6)][
        :NEIGHBOURS
    ]
    with closing(ProcessExecutor(BACKEND, policy, 120)) as bench:
        bench.prepare(ChainWorkload("layer", lower(SPEC, ORIGINAL)))
        loops = loops_for(0.012, min(bench.run("layer", 3)["host"] for _ in range(5)))
        for number in until(budget, lambda: len(results.of(kind="pair")), options.blocks):
            found = {}
            for alive in (False, True) if number % 2 else (True, False):
                found[alive] = block(bench, others, loops, alive)
            results.add(kind="pair", without=found[False], with_neighbours=found[True])
    rows = results.of(kind="pair")
    ratios = np.array([log(row["with_neighbours"] / row["without"]) for row in rows])
    centre = float(ratios.mean())
    reach = float(scipy_stats.t.ppf(0.975, len(ratios) - 1) * scipy_stats.sem(ratios))
    low, high = exp(centre - reach), exp(centre + reach)
    print(f"{len(rows)} pairs of blocks, {len(others)} neighbours, {options.threads} threads")
    inside = len(rows) >= 20 and low >= 0.95 and high <= 1.05
    verdict("with / without", f"[{low:.4f}, {high:.4f}]", inside, "inside [0.95, 1.05]")


def block(
    bench: ProcessExecutor, neighbours: list[ChainWorkload], loops: int, alive: bool
) -> float:
    """Median seconds of the layer over a block; each round the neighbours run first, or the
    layer in their stead."""
    before = [neighbour.key if alive else "layer" for neighbour in neighbours]
    for neighbour in neighbours if alive else []:
        bench.prepare(neighbour)
    times = []
    for _ in range(ROUNDS):
        for key in before:
            bench.run(key, 2)
        times.append(bench.run("layer", loops)["host"])
    for neighbour in neighbours if alive else []:
        bench.release(neighbour.key)
    return float(np.median(times))


if __name__ == "__main__":
    main()
