"""Cost: a full profile of a network, all kinds, `--rank-quantum auto`, one thread.

    python benchmarks/cost.py cost.jsonl --budget 15m

Wanted: `resnet50` within 10 minutes, with at least 90% of the candidates decided or SAME.
Verdicts per minute and the share of time outside timed runs are printed. The store lies beside
the results, so that an interrupted run goes on; its times add up.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from harness import arguments, begin, show, verdict

from rankwise.workflow.profile import profile


def main() -> None:
    options = arguments(
        __doc__ or "", network="resnet50", backend="onnxruntime-cpu", quantum="auto"
    )
    log, _ = begin(options, options.backend)
    store = options.output.with_suffix(".db")
    found = profile(
        options.network,
        backend=options.backend,
        db=f"sqlite:///{store}",
        rank_quantum=options.quantum,
        max_time_s=options.budget,
    )
    with closing(sqlite3.connect(store)) as connection:
        (timed,) = connection.execute("select sum(seconds * loops) from samples").fetchone()
    log.add(
        kind="run",
        elapsed_s=found.elapsed_s,
        complete=found.complete,
        verdicts=found.verdicts,
        failed=found.failed,
        candidates=found.candidates,
        timed_s=timed,
    )
    report(log.of(kind="run"))


def report(runs: list[dict]) -> None:
    last, elapsed = runs[-1], sum(run["elapsed_s"] for run in runs)
    counts = last["verdicts"]
    total, undecided = sum(counts.values()), counts.get("UNDECIDED", 0)
    decided = (total - undecided) / max(total, 1)
    show(("verdict", "candidates"), sorted(counts.items()))
    print(f"verdicts per minute: {60 * (total - undecided) / elapsed:.1f}")
    print(f"time outside timed runs: {1 - last['timed_s'] / elapsed:.1%}")
    done = "complete" if last["complete"] else "not complete: run again to go on"
    print(f"{total} candidates, {last['failed']} failed in the last run, {done}")
    verdict("minutes", elapsed / 60, elapsed <= 600 and last["complete"], "at most 10")
    verdict("decided or SAME", decided, decided >= 0.9, "at least 0.9")


if __name__ == "__main__":
    main()
