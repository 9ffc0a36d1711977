"""Text, sound, segmentation, video, detection: six networks through all four verbs on two backends.

    python benchmarks/families.py families.jsonl --budget 40m

Each network of `family_networks` is profiled, planned for within an error, applied and verified,
with the time of each verb. Its parameters in layers that can be decomposed are counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
from family_networks import FAMILIES

import rankwise as rw
from rankwise.errors import GoalNotReached, RankwiseError

BACKENDS = ("torch-cpu", "onnxruntime-cpu")
SUFFIXES = {"torch-cpu": ".pt2", "onnxruntime-cpu": ".onnx"}
LIMIT = 0.3
"""Of the network error, on seeded noise: the weights are drawn, so that no picture says more."""
PROFILE_S = 120.0


def main() -> None:
    options = harness.arguments(__doc__.partition("\n")[0], only="")
    log, budget = harness.begin(options)
    sys.path.insert(0, str(Path(__file__).parent))
    for name in FAMILIES:
        for backend in BACKENDS:
            wanted = options.only in name and not log.of(network=name, backend=backend)
            if wanted and budget.left:
                row = one_way(name, backend, options.output.with_suffix(".work"))
                log.add(network=name, backend=backend, **row)
    columns = ("network", "backend", "speedup", "low", "high", "error", "replaced", "said")
    rows = [row for row in log.rows if "network" in row]
    harness.show(columns, [[row.get(column, "") for column in columns] for row in rows])


def one_way(name: str, backend: str, work: Path) -> harness.Row:
    """Profile, plan, apply and verify; what was measured, or the sentence that ended it."""
    work.mkdir(exist_ok=True)
    network = f"family_networks:{name}"
    asked: dict[str, Any] = {"db": f"sqlite:///{work / 'families.db'}"}
    row: harness.Row = {}
    try:
        with timed(row, "profile_s"):
            rw.profile(network, backend=backend, max_time_s=PROFILE_S, **asked)
        with timed(row, "plan_s"):
            plan = planned(network, backend, asked)
        row["replaced"] = sum(one.decomposition.kind != "original" for one in plan.layers)
        with timed(row, "apply_s"):
            file = work / f"{name}{SUFFIXES[backend]}"
            rw.apply(plan, network, output=file, **asked)
        with timed(row, "verify_s"):
            found = rw.verify(plan, network, **asked)
        row |= {"speedup": found.speedup, "low": found.speedup_low, "high": found.speedup_high}
        row |= {"predicted": found.predicted_speedup, "error": plan.predicted.network_error}
    except RankwiseError as error:
        row["said"] = str(error)
    return row


def planned(network: str, backend: str, asked: dict[str, Any]) -> Any:
    """The plan, also one that does not reach its limit."""
    try:
        return rw.plan(network, backend=backend, max_error=LIMIT, **asked)
    except GoalNotReached as error:
        return error.document


@contextmanager
def timed(row: harness.Row, name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    row[name] = round(time.perf_counter() - start, 1)


if __name__ == "__main__":
    main()
