"""For how many layers does the best decomposition depend on the backend?

    python -P benchmarks/backends_differ.py [--db FILE] [--budget 5m] [--backends A,B,C]

Profiles ResNet-50-thin on each backend (what the store has already is not measured again, so a
run that was cut off goes on), shows the best of every layer side by side, and counts the layers
whose best kind or rank differs between two backends. A difference counts only where it is seen
on both sides: on each backend its own best is faster than the other's best, and the two
intervals do not overlap. The original is a candidate, too.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import assets

from rankwise import documents
from rankwise.commands.errors import reporter
from rankwise.options.texts import parse_duration
from rankwise.workflow.profile import profile
from rankwise.workflow.table import table_document

BACKENDS = "torch-cpu,onnxruntime-cpu,openvino-cpu"
ORIGINAL = "original"


class Seen(NamedTuple):
    """A candidate's speedup on one backend, with its interval."""

    low: float
    speedup: float
    high: float


Rows = dict[str, Seen]
"""Candidate -> how fast it is: one layer on one backend."""


def rows_by_layer(rows: Iterable[documents.Row]) -> dict[str, dict[str, Rows]]:
    """Layer name -> backend -> candidate -> `Seen`; every layer that shares a spec is there."""
    found: dict[str, dict[str, Rows]] = {}
    for row in rows:
        seen = Seen(row.speedup_low, row.speedup, row.speedup_high)
        for layer in row.layers:
            backends = found.setdefault(layer, {})
            here = backends.setdefault(row.device.backend, {ORIGINAL: Seen(1.0, 1.0, 1.0)})
            here[str(row.decomposition.record())] = seen
    return found


def best(rows: Rows) -> str:
    return max(rows, key=lambda candidate: rows[candidate].speedup)


def beats(rows: Rows, one: str, other: str) -> bool:
    """Is `one` faster than `other` on this backend, the intervals apart?"""
    return one in rows and other in rows and rows[one].low > rows[other].high


def differ(first: Rows, second: Rows) -> bool:
    """Has each backend a best of its own, and is that seen on both?"""
    ours, theirs = best(first), best(second)
    return ours != theirs and beats(first, ours, theirs) and beats(second, theirs, ours)


def kind(candidate: str) -> str:
    return candidate.split()[0]


def report(layers: dict[str, dict[str, Rows]], backends: Sequence[str]) -> None:
    complete = {
        name: found for name, found in layers.items() if all(one in found for one in backends)
    }
    print(f"{'layer':42}" + "".join(f"{backend:38}" for backend in backends))
    for name, found in complete.items():
        cells = [(best(found[one]), found[one][best(found[one])]) for one in backends]
        print(f"{name[-40:]:42}" + "".join(f"{_cell(*cell):38}" for cell in cells))
    print(f"\n{len(complete)} of {len(layers)} layers have rows on every backend")
    for one, other in combinations(backends, 2):
        pairs = [(found[one], found[other]) for found in complete.values()]
        apart = [(a, b) for a, b in pairs if differ(a, b)]
        kinds = sum(kind(best(a)) != kind(best(b)) for a, b in apart)
        unlike = sum(best(a) != best(b) for a, b in pairs)
        print(
            f"{one} against {other}: the best differs for {len(apart)} of {len(pairs)} layers "
            f"with intervals apart ({kinds} in kind, {len(apart) - kinds} in rank only); "
            f"for {unlike} if intervals are not looked at"
        )


def _cell(candidate: str, seen: Seen) -> str:
    return f"{candidate} {seen.speedup:.2f} [{seen.low:.2f},{seen.high:.2f}]"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--db", default="backends_differ.db")
    options.add_argument("--budget", default="5m", help="for each backend")
    options.add_argument("--backends", default=BACKENDS)
    options.add_argument("--kinds", default="channel_svd,spatial_svd,tucker2,svd")
    options.add_argument("--rank-quantum", type=int, default=32)
    chosen = options.parse_args()
    backends, db = chosen.backends.split(","), f"sqlite:///{chosen.db}"
    network = str(assets.fetch("open-nsfw.onnx"))
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the beginning")
    for backend in backends:
        done = profile(
            network,
            backend=backend,
            db=db,
            input_shape=(1, 224, 224, 3),
            kinds=chosen.kinds.split(","),
            rank_quantum=chosen.rank_quantum,
            interval=0.03,
            max_time_s=parse_duration(chosen.budget),
            reporter=reporter(),
        )
        print(
            f"{backend}: {done.measured} measured, {done.already_measured} there before, "
            f"{done.candidates} candidates, complete {done.complete}, {done.elapsed_s:.0f} s, "
            f"load {os.getloadavg()[0]:.1f}, {done.verdicts}"
        )
    report(rows_by_layer(table_document(db=db, devices=backends).rows), backends)


if __name__ == "__main__":
    main()
