"""The level of whole sweeps, with and without further preparations of what is undecided: the
benchmark of known truth, at a size for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankwise import stats
from rankwise.records import Verdict

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


class Rows(list[dict[str, object]]):
    def add(self, **row: object) -> None:
        self.append(row)


@pytest.mark.slow
def test_intervals_hold_the_truth_whatever_the_sweep_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import known_truth

    rows = Rows()
    for number in range(40):
        known_truth.one_sweep(rows, number, extra_preparations=number % 2 == 1)
    covered = sum(row["low"] <= row["truth"] <= row["high"] for row in rows)
    assert covered >= 0.93 * len(rows)
    assert any(row["sessions"] > stats.PLANNED_PREPARATIONS for row in rows)
    wrong = 0
    for row in rows:
        found = stats.verdict(row["low"], row["high"])
        right = stats.verdict(row["truth"], row["truth"])
        wrong += found not in (right, Verdict.UNDECIDED)
    assert wrong <= 0.01 * len(rows)
