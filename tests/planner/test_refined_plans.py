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


def test_a_study_chooses_the_mode(planned: Callable[..., documents.Plan], tmp_path: Path) -> None:
    assert planned("--trials", 3, "--mode", "auto").mode in shipped_modes()
    before = sessions(tmp_path)
    planned("--no-refine")
    assert sessions(tmp_path) == before


def test_as_few_parameters_as_there_can_be(
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
    found = planned("--max-error", 5, "--max-params", limit)
    assert {x.decomposition.kind for x in found.layers if x.name in least} != {"original"}


def test_ctrl_c_leaves_a_file_and_a_sentence(
    planned: Callable[..., documents.Plan],
    rankwise: Command,
    network_file: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plan was written, so the command has ended well."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    planned("--no-refine")
    monkeypatch.setattr("rankwise.planner.learning.timed", interrupt)
    path = tmp_path / "interrupted.json"
    data = ["--calibration", pictures, "--preprocess", "unit", "--max-error", 0.6]
    result = rankwise("plan", network_file, "--backend", NOISY, *data, "-o", path)
    assert result.exit_code == 0, result.output
    assert "interrupted: what follows is the best plan so far" in result.output
    plan = documents.Plan.model_validate_json(path.read_text())
    assert plan.decisions
    assert plan.promise is not None
    assert not plan.promise.confirmed
