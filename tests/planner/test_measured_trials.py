"""Whole networks timed during `plan`: trials, replays, and the last comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from rankwise import documents
from rankwise.lowrank.modes import shipped_modes

NOISY = "fake:step=16,jitter=0.02"
Command = Callable[..., Result]


@pytest.fixture
def planned(
    rankwise: Command, network_file: Path, pictures: Path, tmp_path: Path
) -> Callable[..., documents.Plan]:
    words = ["--backend", NOISY]
    assert rankwise("profile", network_file, *words).exit_code == 0

    def plan(*more: object) -> documents.Plan:
        path = tmp_path / "plan.json"
        calibration = ["--calibration", pictures, "--preprocess", "unit", "--max-error", 0.6]
        result = rankwise("plan", network_file, *words, *calibration, "-o", path, *more)
        assert result.exit_code == 0, result.output
        return documents.Plan.model_validate_json(path.read_text())

    return plan


def sessions(tmp_path: Path) -> int:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        (count,) = connection.execute("select count(*) from sessions").fetchone()
    return int(count)


def test_the_same_store_and_seed_give_the_same_plan_though_timings_vary(
    planned: Callable[..., documents.Plan], tmp_path: Path
) -> None:
    first = planned()
    timed = sessions(tmp_path)
    again = planned()
    assert sessions(tmp_path) == timed
    assert again.layers == first.layers
    assert again.predicted == first.predicted
    assert again.search == first.search


def test_the_plan_says_what_was_tried(
    planned: Callable[..., documents.Plan], tmp_path: Path
) -> None:
    found = planned("--measured-trials", 3, "--mode", "auto")
    assert found.search.measured_trials == 3
    assert found.search.seed_speedup is not None
    assert found.search.seed_speedup > 1
    assert found.search.trial_speedup is None or found.search.trial_speedup > 0
    assert found.mode in shipped_modes()
    before = sessions(tmp_path)
    found = planned("--no-refine")
    assert (found.search.measured_trials, found.search.seed_speedup) == (0, None)
    assert sessions(tmp_path) == before


def test_finalists_that_break_another_limit_are_left_out(
    planned: Callable[..., documents.Plan],
    rankwise: Command,
) -> None:
    """The fewest parameters that all ranks allow are fewer than multiples of 32 do."""
    table = json.loads(rankwise("table", "--json").stdout)["rows"]
    least: dict[str, int] = {}
    for row in table:
        least[row["layer"]] = min(row["params"], least.get(row["layer"], row["params"]))
    dense = 128 * 10 + 10  # has no candidate
    limit = sum(least.values()) + dense
    found = planned("--max-error", 5, "--max-params", limit, "--measured-trials", 2)
    assert {x.decomposition.kind for x in found.layers if x.name in least} != {"original"}
