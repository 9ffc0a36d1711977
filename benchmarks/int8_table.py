"""How many candidates are faster than their layer in float32 and not in int8?

    python benchmarks/int8_table.py [--db FILE] [--budget 5m] [--backends A,B] [--network NAME]
        [--kinds svd,channel_svd,...] [--rank-quantum 16]

Profiles a network on each backend in both dtypes (what the store has already is not measured
again, so a run that was cut off goes on). It counts candidates by verdict, lists those that are
FASTER in one dtype and not in the other with their intervals, and says how many are *slower* in the
other: an undecided one may only need more samples. What multiplies int8 here stands above.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from subjects import SUBJECTS, cache_folder

from rankwise import documents
from rankwise.backends.registry import open_backend
from rankwise.commands.errors import reporter
from rankwise.options.texts import parse_duration
from rankwise.report.dtype_comparison import SameCandidate, by_dtype
from rankwise.report.table_text import speedup_table_text
from rankwise.report.table_view import TableView
from rankwise.workflow.profile import profile
from rankwise.workflow.table import table_document

FLOAT, INT8 = "float32", "int8"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", default=str(cache_folder() / "int8-table.db"))
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--backends", default="onnxruntime-cpu,openvino-cpu")
    parser.add_argument("--network", default="ResNet-50-thin", choices=SUBJECTS)
    parser.add_argument("--kinds")
    parser.add_argument("--rank-quantum", type=int)
    asked = parser.parse_args()
    subject, db = SUBJECTS[asked.network], f"sqlite:///{Path(asked.db).absolute()}"
    for backend in asked.backends.split(","):
        for dtype in (FLOAT, INT8):
            profile(
                subject.path,
                input_shape=subject.input_shape,
                backend=backend,
                dtype=dtype,
                db=db,
                kinds=asked.kinds and asked.kinds.split(","),
                rank_quantum=asked.rank_quantum,
                max_time_s=parse_duration(asked.budget),
                reporter=reporter(),
            )
        report(backend, table_document(db=db, devices=[backend]))


def report(backend: str, table: documents.Table) -> None:
    fingerprint = documents.Fingerprint.of(open_backend(backend).fingerprint())
    kernels = fingerprint.integer_kernels or "no instruction of its own"
    chip = fingerprint.hardware.get("chip", "")
    print(f"\n{backend} on {chip}: int8 by {kernels}; load {os.getloadavg()[0]:.1f}")
    print(speedup_table_text(table, TableView(by_dtype=True, verdicts=("FASTER",))))
    for first, other in ((FLOAT, INT8), (INT8, FLOAT)):
        both = [one for one in by_dtype(table.rows) if len(one) > 1]
        print(said(both, first, other))


def said(both: Sequence[SameCandidate], first: str, other: str) -> str:
    """How many that are faster in the first dtype are what in the other, by their intervals."""
    faster = [one for one in both if one[first].verdict == "FASTER"]
    verdicts = [one[other].verdict for one in faster]
    apart = sum((one[other].speedup_high or 0) < (one[first].speedup_low or 0) for one in faster)
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    return (
        f"of {len(faster)} candidates that are FASTER in {first}, in {other} are: {counts}; the "
        f"speedup of {apart} is smaller in {other}, by intervals that do not overlap"
    )


if __name__ == "__main__":
    main()
