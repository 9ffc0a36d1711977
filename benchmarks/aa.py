"""A/A on the real clock: two preparations of the same layer, on quiet and busy machines.

    python benchmarks/aa.py aa.jsonl --budget 60m

Wanted in each cell of 400 pairs: at most 30 intervals that miss 1.0, at most 8 verdicts FASTER
or SLOWER. The same runner against itself, which shares all luck of preparation, stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from itertools import product

from harness import arguments, begin, busy_neighbour, show, until

from rankwise.backends.base import Workload
from rankwise.backends.registry import open_backend
from rankwise.campaign.setup import distinct_specs
from rankwise.lowrank import lower
from rankwise.models.source import load_network
from rankwise.profiler.aa import aa_pair, tally
from rankwise.profiler.executor import Executor
from rankwise.profiler.process_executor import ProcessExecutor
from rankwise.records import ORIGINAL, Comparison, Effort, MeasurementPolicy

BACKENDS = ("torch-cpu", "onnxruntime-cpu")
SAME_SHARE = 0.25
"""Of the pairs, for the runner against itself: it is only printed beside the rest."""
FRESH = 20
"""Pairs after which the measuring process is a new one."""


class OneRunner:
    """A bench on which `second` is the runner of `first`."""

    def __init__(self, bench: Executor) -> None:
        self.bench = bench

    def prepare(self, workload: Workload) -> None:
        if workload.key == "first":
            self.bench.prepare(workload)

    def run(self, _key: str, loops: int) -> Mapping[str, float]:
        return self.bench.run("first", loops)

    def release(self, key: str) -> None:
        if key == "first":
            self.bench.release(key)

    def renew(self) -> None:
        self.bench.renew()

    def close(self) -> None:
        self.bench.close()


def main() -> None:
    options = arguments(__doc__ or "", pairs=400, network="resnet50")
    log, budget = begin(options)
    specs = distinct_specs(load_network(options.network).layers)
    policies = {name: open_backend(name).resolve_policy(MeasurementPolicy()) for name in BACKENDS}
    cells = list(product(BACKENDS, (False, True), ("two preparations", "same runner")))
    for backend, busy, kind in cells:
        cell = {"backend": backend, "busy": busy, "kind": kind}
        with (
            busy_neighbour(busy),
            closing(ProcessExecutor(backend, policies[backend], 120)) as child,
        ):
            bench: Executor = OneRunner(child) if kind == "same runner" else child
            share = SAME_SHARE if kind == "same runner" else 1.0
            wanted = round(options.pairs * share)
            for number in until(budget, lambda c=cell: len(log.of(**c)), wanted):
                if number % FRESH == 0:
                    child.renew()
                spec = specs[number % len(specs)]
                found = aa_pair(bench, lower(spec, ORIGINAL), Effort(), number)
                log.add(**cell, pair=number, spec=spec.key, found=asdict(found))
    rows = []
    for backend, busy, kind in cells:
        pairs = [
            Comparison(**row["found"]) for row in log.of(backend=backend, busy=busy, kind=kind)
        ]
        if pairs:
            count = tally(pairs)
            load = "busy" if busy else "quiet"
            share = count.pairs / 400
            met = count.missed <= 30 * share and count.wrong <= 8 * share
            numbers = (count.pairs, count.missed, count.wrong, count.spread, count.rounds)
            rows.append((backend, load, kind, *numbers, "met" if met else "NOT MET"))
    columns = ("backend", "machine", "kind", "pairs", "missed", "wrong", "spread", "rounds", "")
    show(columns, rows)


if __name__ == "__main__":
    main()
