"""What is told of options and documents; and what is said where the library is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import rankwise as rw
from rankwise import documents
from rankwise.documents.plan_files import read_plan
from rankwise.errors import UsageError
from rankwise.tracking.facts import VerbNames, finite, numbers, settings

PLAN = read_plan(Path(__file__).parents[1] / "data" / "plans" / "version_3.json")


def test_options_are_told_that_can_be_said() -> None:
    options = {
        "backend": "fake",
        "max_error": 0.1,
        "refine": False,
        "output": Path("plan.json"),
        "kinds": ["svd", "tucker2"],
        "function": settings,
        "example_input": object(),
        "plan": PLAN,
        "weights": None,
        "model": PLAN,
        "long": "x" * 9000,
    }
    assert settings(options) == {
        "backend": "fake",
        "max_error": 0.1,
        "refine": False,
        "output": "plan.json",
        "kinds": "svd, tucker2",
        "function": "settings",
        "model": "rankwise.documents.plan:Plan",
        "long": "x" * 500,
    }


def test_all_numbers_of_a_document_are_told() -> None:
    told = numbers(PLAN)
    plain = json.loads(PLAN.model_dump_json())
    assert told["predicted.speedup"] == plain["predicted"]["speedup"]
    assert all(isinstance(value, float) for value in told.values())
    assert "schema_version" not in told
    assert not [name for name in told if name.startswith(("layers", "policies"))]


def test_numbers_that_are_none_are_left_out() -> None:
    assert finite({"a": 1, "b": float("nan"), "c": float("inf")}) == {"a": 1.0}


def test_verbs_that_come_again_have_names_of_their_own() -> None:
    names = VerbNames(["plan.max_error", "plan_2.max_error"])
    assert names.begin("tune") == "tune"
    assert names.begin("plan") == "plan_3"
    assert (names.current, names.end(), names.current) == ("plan_3", "plan_3", "tune")
    assert (names.begin("plan"), names.end(), names.end()) == ("plan_4", "plan_4", "tune")
    assert not names.within


@pytest.mark.parametrize(
    ("name", "library"), [("MlflowTracker", "mlflow"), ("WandbTracker", "wandb")]
)
def test_a_missing_library_is_said_in_a_sentence(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    tracker: Any = getattr(rw, name)
    with pytest.raises(UsageError, match=rf"pip install 'rankwise\[{library}\]'"):
        tracker()


def test_a_document_without_numbers_is_none() -> None:
    assert numbers(documents.Devices(devices=[])) == {}
