"""Staircases: 400 planted ones, and those of real layers on this machine.

    python benchmarks/staircase.py staircase.jsonl --budget 20m

Wanted: planted, the best kept rank is within 1% of the full grid's optimum at every rank budget
in at least 95% of the cases, with at most 24 ranks measured; on the real layers, ONNX Runtime
shows steps of 16.
"""

from __future__ import annotations

import sys
from contextlib import closing
from math import exp
from pathlib import Path

import numpy as np
from harness import arguments, begin, show, until, verdict

from rankwise.backends.registry import open_backend
from rankwise.profiler.process_executor import ProcessExecutor
from rankwise.profiler.rank_search import KindSearch
from rankwise.profiler.session import SessionEnded
from rankwise.profiler.staircase import MAX_RANKS
from rankwise.profiler.sweep import LayerTask, sweep
from rankwise.records import Candidate, Effort, LayerSpec, MeasurementPolicy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "profiler"))
from test_staircase import NOISE, STEPS, planted, searched

LAYERS = (
    ("1x1 1024->256 at 14x14", "svd", LayerSpec("conv2d", 1024, 256, (1024, 14, 14), bias=False)),
    (
        "3x3 256->256 at 14x14",
        "tucker2",
        LayerSpec("conv2d", 256, 256, (256, 14, 14), (3, 3), padding=(1,) * 4, bias=False),
    ),
    (
        "3x3 256->256 at 14x14",
        "channel_svd",
        LayerSpec("conv2d", 256, 256, (256, 14, 14), (3, 3), padding=(1,) * 4, bias=False),
    ),
)
BACKENDS = ("onnxruntime-cpu", "torch-cpu")


def main() -> None:
    options = arguments(__doc__ or "", cases=400, repeats=1)
    log, budget = begin(options)
    for number in until(budget, lambda: len(log.of(kind="planted")), options.cases):
        step, seed = STEPS[number % len(STEPS)], number // len(STEPS)
        rng = np.random.default_rng([seed, step])
        case = planted(rng, step)
        found = searched(case, rng).result()
        losses, only = case.losses(list(found.kept)), case.losses(list(found.measured))
        log.add(
            kind="planted",
            step=step,
            measured=len(found.measured),
            loss=float(losses.max()),
            loss_of_measured=float(np.median(only)),
        )
    for backend in BACKENDS:
        for name, kind, spec in LAYERS:
            cell = {"kind": "real", "backend": backend, "layer": name, "decomposition": kind}
            for number in until(budget, lambda c=cell: len(log.of(**c)), options.repeats):
                log.add(**cell, found=searched_here(backend, kind, spec, number))
    report(log.of(kind="planted"), log.of(kind="real"))


def searched_here(backend: str, kind: str, spec: LayerSpec, seed: int) -> list[dict]:
    """What the search finds of each axis on this machine."""
    policy = open_backend(backend).resolve_policy(MeasurementPolicy())
    search = KindSearch(spec, kind)
    while asked := search.ask():
        told = {}
        with closing(ProcessExecutor(backend, policy, 120)) as bench:
            task = LayerTask(spec, asked)
            for event in sweep([task], bench, Effort(preparations=1), seed):
                if isinstance(event, SessionEnded):
                    told.update({k: exp(-s.log_ratio) for k, s in event.summaries.items()})
        keys = {d.ranks: Candidate(spec, d).key for d in asked}
        search.tell(
            {ranks: told[key] for ranks, key in keys.items() if key in told},
            [ranks for ranks, key in keys.items() if key not in told],
        )
    curve = {"x".join(map(str, ranks)): latency for ranks, latency in search.told.items()}
    return [
        {"quantum": f.quantum, "text": f.text, "measured": search.measured, "curve": curve}
        for f in search.findings()
    ]


def report(cases: list[dict], real: list[dict]) -> None:
    if cases:
        lines = []
        for step in STEPS:
            mine = [case for case in cases if case["step"] == step]
            good = sum(case["loss"] <= 0.01 for case in mine)
            most = max((case["measured"] for case in mine), default=0)
            kept = float(np.median([case["loss_of_measured"] for case in mine] or [0]))
            lines.append((step, len(mine), good, most, kept))
        print(f"planted, {NOISE:.0%} noise (last column: median loss with measured ranks only)")
        show(("step", "cases", "within 1%", "most ranks", "measured only"), lines)
        share = sum(case["loss"] <= 0.01 for case in cases) / len(cases)
        verdict("cases within 1%", share, share >= 0.95, "at least 0.95")
        most = max(case["measured"] for case in cases)
        verdict("most ranks measured", most, most <= MAX_RANKS, f"at most {MAX_RANKS}")
    for row in real:
        for axis, found in enumerate(row["found"]):
            where = f"{row['backend']} {row['layer']} {row['decomposition']} rank {axis + 1}"
            print(f"{where}: {found['text']} ({found['measured']} measured)")
            if row["backend"] == "onnxruntime-cpu":
                verdict("  quantum", found["quantum"], found["quantum"] == 16, "16")


if __name__ == "__main__":
    main()
