"""Older plans: brought up to date step by step, newer ones refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rankwise.documents import SCHEMA_VERSION, Plan
from rankwise.documents.plan_files import read_plan, write_plan
from rankwise.documents.plan_versions import MIGRATIONS, migrated
from rankwise.errors import PlanError

NOT_ANY_MORE = ("measured_trials", "seed_speedup", "trial_speedup")
"""What `search` of version 2 had, and version 3 has not: trials that were timed."""
SAMPLES = sorted((Path(__file__).parents[1] / "data" / "plans").glob("*.json"))


GONE = {"measured_trials", "seed_speedup", "trial_speedup"}
"""What plans said of their search before version 3."""


def sample(name: str) -> dict[str, Any]:
    (path,) = [path for path in SAMPLES if path.stem == name]
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_there_is_a_step_and_a_sample_for_every_version() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))
    versions = {json.loads(path.read_text())["schema_version"] for path in SAMPLES}
    assert versions == {*MIGRATIONS, SCHEMA_VERSION}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_read_and_loses_nothing(path: Path, tmp_path: Path) -> None:
    plan = read_plan(path)
    assert plan.schema_version == SCHEMA_VERSION
    before, after = json.loads(path.read_text()), plan.model_dump(mode="json")
    for name in NOT_ANY_MORE:
        before["search"].pop(name, None)
    for old, new in zip(before["layers"], after["layers"], strict=True):
        assert old.items() <= new.items()
    kept = {name: value for name, value in before["search"].items() if name not in GONE}
    assert kept.items() <= after["search"].items()
    assert before["model"].items() <= after["model"].items()
    changed = {"schema_version", "model", "layers", "predicted", "search"}
    assert {k: v for k, v in before.items() if k not in changed}.items() <= after.items()
    write_plan(plan, tmp_path / "again.json")
    assert read_plan(tmp_path / "again.json") == plan


def test_the_first_plans_know_no_runs_and_no_shrinkage() -> None:
    old = sample("version_1_first")
    old["predicted"]["model_error"] = 0.05
    plan = Plan.model_validate(old)
    assert (plan.predicted.runs, plan.predicted.own_run) == (0, False)
    assert plan.predicted.model_error is None  # it was another figure
    assert plan.predicted.speedup == old["predicted"]["speedup"]
    assert {layer.shrinkage for layer in plan.layers} == {None}
    assert old["schema_version"] == 1  # what was given stays as it is


def test_later_plans_of_version_1_keep_what_they_say() -> None:
    old = sample("version_1_last")
    plan = Plan.model_validate(old)
    assert plan.predicted.model_dump() == {**old["predicted"], "errors": None}
    assert (plan.compared, plan.notes) == ([], [])
    assert [layer.shrinkage for layer in plan.layers] == [o["shrinkage"] for o in old["layers"]]


def test_version_3_has_no_trials_that_were_timed_and_promises() -> None:
    old = sample("version_2")
    old["predicted"]["network_error_measured"] = False
    old["search"] |= {"measured_trials": 3, "seed_speedup": 2.0, "trial_speedup": 2.5}
    plan = Plan.model_validate(old)
    assert plan.schema_version == 3
    assert plan.promise is None
    assert not plan.match_channels
    assert (plan.compared, plan.notes, plan.search.passes) == ([], [], 0)
    assert {layer.output_shrinkage for layer in plan.layers} == {None}
    gone = {"network_error_measured", *NOT_ANY_MORE}
    written = plan.model_dump()
    assert not gone & {*written["predicted"], *written["search"]}
    assert old["search"]["measured_trials"] == 3  # what was given stays as it is


def test_plans_of_version_3_say_both_sides_and_what_is_promised() -> None:
    plan = Plan.model_validate(sample("version_3"))
    assert plan.promise is not None
    assert plan.promise.confirmed
    assert plan.promise.network_error is not None
    assert plan.promise.upper is not None
    assert plan.promise.network_error < plan.promise.upper <= plan.promise.max_error
    assert any(layer.output_shrinkage is not None for layer in plan.layers)
    search = {**sample("version_3")["search"], "measured_trials": 0}
    with pytest.raises(ValidationError, match="measured_trials"):
        Plan.model_validate({**sample("version_3"), "search": search})


def test_steps_are_taken_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {n: lambda plan, n=n: {**plan, "way": [*plan.get("way", []), n]} for n in (1, 2, 3)}
    monkeypatch.setattr("rankwise.documents.plan_versions.MIGRATIONS", steps)
    assert migrated({"schema_version": 2}, 4) == {"schema_version": 4, "way": [2, 3]}
    assert migrated({"schema_version": 4}, 4) == {"schema_version": 4}


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 99, 0, -1])
def test_unknown_versions_are_refused_in_one_sentence(version: int, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**sample("version_1_last"), "schema_version": version}))
    with pytest.raises(PlanError, match=f"schema version {version}") as caught:
        read_plan(path)
    assert "\n" not in str(caught.value)
    assert "plan.json" in str(caught.value)
    assert ("upgrade rankwise" in str(caught.value)) is (version > SCHEMA_VERSION)


@pytest.mark.parametrize(
    "damage",
    [
        {"schema_version": "two"},
        {"schema_version": None},
        {"layers": None},
        {"layers": [3]},
        {"predicted": []},
        {"kind": "rankwise.table"},
    ],
)
def test_damage_is_left_to_the_schema(damage: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Plan.model_validate({**sample("version_1_first"), **damage})
