"""Known truth: whole sweeps on a bench whose ratios are planted, 1,000 candidates.

    python benchmarks/known_truth.py truth.jsonl --no-doctor

Log-normal jitter, drift that both sides of a pair share, 5% outliers of ten times, 0.5% noise of
the preparation. Half of the sweeps have time left for extra preparations of undecided
candidates. Wanted: intervals hold the true ratio in at least 93%, at most 1% wrong verdicts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from harness import arguments, begin, show, verdict

from rankwise import stats
from rankwise.backends.base import Workload
from rankwise.profiler.session import SessionEnded
from rankwise.profiler.sweep import LayerTask, sweep
from rankwise.records import ORIGINAL, Candidate, Decomposition, Effort, LayerSpec, Verdict

TRUTHS = (0.8, 0.95, 0.98, 1.0, 1.003, 1.02, 1.05, 1.1, 1.5, 3.0)
SPEC = LayerSpec("linear", 512, 512, (512,))
JITTER, DRIFT, PREPARATION = 0.015, 0.01, 0.005
OUTLIERS, OUTLIER = 0.05, 10.0


class Planted:
    """A bench of numbers. `ratios`: true original / candidate, by key."""

    def __init__(self, ratios: Mapping[str, float], seed: int) -> None:
        self.ratios, self.rng = ratios, np.random.default_rng(seed)
        self.luck: dict[str, float] = {}
        self.drift = 0.0

    def prepare(self, workload: Workload) -> None:
        # half of a ratio's variance comes from either side
        self.luck[workload.key] = float(self.rng.normal(0, PREPARATION / math.sqrt(2)))

    def run(self, key: str, _loops: int) -> Mapping[str, float]:
        self.drift += float(self.rng.normal(0, DRIFT)) / 3
        jitter = float(self.rng.normal(0, JITTER))
        seconds = 1e-3 / self.ratios.get(key, 1.0)
        seconds *= math.exp(self.drift + self.luck[key] + jitter)
        return {"host": seconds * (OUTLIER if self.rng.random() < OUTLIERS else 1.0)}

    def release(self, key: str) -> None:
        self.luck.pop(key, None)

    def renew(self) -> None:
        self.luck.clear()

    def close(self) -> None:
        self.luck.clear()


def main() -> None:
    options = arguments(__doc__ or "", runs=1000)
    log, budget = begin(options)
    while len(log.of(kind="run")) < options.runs and budget.left:
        number = len(log.of(kind="run")) // len(TRUTHS)
        one_sweep(log, number, extra_preparations=number % 2 == 1)
    report(log.of(kind="run"))


def one_sweep(log, number: int, extra_preparations: bool) -> None:
    decompositions = tuple(Decomposition("svd", (rank + 1,)) for rank in range(len(TRUTHS)))
    keys = [Candidate(SPEC, d).key for d in decompositions]
    assert Candidate(SPEC, ORIGINAL).key not in keys
    bench = Planted(dict(zip(keys, TRUTHS, strict=True)), number)
    effort = Effort(max_time_s=1e9 if extra_preparations else None)
    found = defaultdict(list)
    for event in sweep([LayerTask(SPEC, decompositions)], bench, effort, number):
        if isinstance(event, SessionEnded):
            for key, summary in event.summaries.items():
                found[key].append(summary)
    for key, truth in zip(keys, TRUTHS, strict=True):
        now = stats.combine(found[key])
        log.add(
            kind="run",
            truth=truth,
            extra_preparations=extra_preparations,
            low=now.speedup_low,
            high=now.speedup_high,
            sessions=now.sessions,
            rounds=now.rounds,
        )


def report(rows: list[dict]) -> None:
    lines, wrong, covered = [], 0, 0
    for truth in TRUTHS:
        for extra_preparations in (False, True):
            mine = [
                r
                for r in rows
                if r["truth"] == truth and r["extra_preparations"] is extra_preparations
            ]
            if not mine:
                continue
            held = sum(r["low"] <= truth <= r["high"] for r in mine)
            said = [stats.verdict(r["low"], r["high"]) for r in mine]
            right = stats.verdict(truth, truth)
            bad = sum(v not in (right, Verdict.UNDECIDED) for v in said)
            decided = sum(v is not Verdict.UNDECIDED for v in said)
            rounds = float(np.median([r["rounds"] for r in mine]))
            time = "time left" if extra_preparations else "planned"
            lines.append((truth, time, len(mine), held / len(mine), bad, decided, rounds))
            wrong, covered = wrong + bad, covered + held
    show(("truth", "sweep", "runs", "covered", "wrong", "decided", "median rounds"), lines)
    verdict("coverage", covered / len(rows), covered / len(rows) >= 0.93, "at least 0.93")
    verdict("wrong verdicts", wrong / len(rows), wrong / len(rows) <= 0.01, "at most 0.01")
    decided = [
        r["rounds"] for r in rows if stats.verdict(r["low"], r["high"]) is not Verdict.UNDECIDED
    ]
    print(f"median rounds to a verdict: {float(np.median(decided)):.0f}")


if __name__ == "__main__":
    main()
