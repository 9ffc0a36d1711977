"""How long a cold `plan` takes, how often it runs the network, and how much memory it needs.

    python benchmarks/plan_time.py plan_time.jsonl --budget 20m

Measured rows are in the store, nothing else is: every `plan` has a store of its own, a copy. Each
is a process as a user would start it, refinement in the network included (but for vgg16, whose rows
are the fake backend's, because only its memory is asked for). Memory is the largest resident set of
that process or of any that it starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Log, arguments, begin, show, verdict
from stores import forget, fresh_copy, profiled
from subjects import SUBJECTS, first_photos, linked

PASSES = 30


@dataclass(frozen=True, slots=True)
class Case:
    """What is planned; at most so many seconds and bytes are wanted (None: any)."""

    network: str
    backend: str
    max_error: float
    pictures: int
    seconds: float | None = None
    peak_bytes: float | None = None
    refine: bool = True
    rank_quantum: int | None = None
    """For the rows; None leaves it to the backend."""


CASES = (
    Case("demosaicking", "onnxruntime-cpu", 0.012, 28, seconds=60),
    Case("demosaicking", "torch-cpu", 0.012, 28, seconds=60),
    Case("ResNet-50-thin", "onnxruntime-cpu", 0.25, 28, seconds=90),
    Case("detector", "onnxruntime-cpu", 0.2, 28, seconds=150, rank_quantum=32),
    Case("vgg16", "fake", 0.2, 32, peak_bytes=4e9, refine=False),
)


def main() -> None:
    options = arguments(__doc__ or "", only="", repeats=1)
    log, budget = begin(options)
    place = options.output.with_suffix(".work")
    for case in CASES:
        if options.only not in f"{case.network} {case.backend}":
            continue
        for number in range(options.repeats):
            row = {"kind": "plan", "network": case.network, "backend": case.backend}
            if budget.left and not log.of(**row, number=number):
                log.add(**row, number=number, **one_plan(case, place))
    report(log)


def one_plan(case: Case, place: Path) -> dict[str, Any]:
    """Seconds, peak memory, and what the plan's file says."""
    subject = SUBJECTS[case.network]
    rows = profiled(subject, case.backend, place, rank_quantum=case.rank_quantum)
    store, output = place / "cold.db", place / f"{case.network}-{case.backend}.json"
    db = fresh_copy(rows, store)
    folder = linked(first_photos(case.pictures), place / f"photos-{case.pictures}")
    words = [subject.path, "--backend", case.backend, "--db", db, "-o", str(output)]
    words += ["--input-shape", ",".join(map(str, subject.input_shape))]
    words += ["--calibration", str(folder), "--preprocess", str(subject.preprocess)]
    words += ["--max-error", str(case.max_error), *(() if case.refine else ("--no-refine",))]
    print(f"$ rankwise plan {' '.join(words)}", flush=True)
    began = time.monotonic()
    peak_bytes = run([sys.executable, "-m", "rankwise", "plan", *words])
    seconds = time.monotonic() - began
    forget(store)
    document = json.loads(output.read_text(encoding="utf-8"))
    predicted = document["predicted"]
    return {
        "seconds": seconds,
        "peak_bytes": peak_bytes,
        "passes": document["search"]["passes"],
        "speedup": predicted["speedup"],
        "network_error": predicted["network_error"],
        "max_error": case.max_error,
    }


def run(command: list[str]) -> int:
    """Run to the end and return the peak memory in bytes; the benchmark ends if that fails."""
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"that command ended with status {process.returncode}")
    return used.ru_maxrss * 1024


def report(log: Log) -> None:
    rows = [(case, row) for case in CASES for row in _rows(log, case)]
    columns = ("network", "backend", "seconds", "passes", "peak GB", "speedup", "error", "limit")
    lines = [
        (
            *(row[name] for name in ("network", "backend", "seconds", "passes")),
            row["peak_bytes"] / 1e9,
            *(row[name] for name in ("speedup", "network_error", "max_error")),
        )
        for _, row in rows
    ]
    show(columns, lines)
    for case, row in rows:
        name = f"{case.network}, {case.backend}"
        if case.seconds is not None:
            ok = row["seconds"] <= case.seconds
            verdict(f"{name}: seconds", row["seconds"], ok, f"at most {case.seconds:g}")
        if case.peak_bytes is not None:
            ok = row["peak_bytes"] <= case.peak_bytes
            verdict(f"{name}: peak bytes", row["peak_bytes"], ok, f"at most {case.peak_bytes:g}")
        verdict(f"{name}: passes", row["passes"], row["passes"] <= PASSES, f"at most {PASSES}")


def _rows(log: Log, case: Case) -> list[dict[str, Any]]:
    return log.of(kind="plan", network=case.network, backend=case.backend)


if __name__ == "__main__":
    main()
