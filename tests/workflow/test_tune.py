"""The main job in one command, on the fake backend: its steps, its files, and its ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import rankwise as rw
from rankwise import documents
from rankwise.errors import GoalNotReached

Command = Callable[..., Result]
FAKE = "fake:step=16"

pytestmark = pytest.mark.usefixtures("profiled")


@pytest.fixture
def words(network_file: Path, pictures: Path) -> list[object]:
    given = ["--calibration", pictures, "--preprocess", "unit"]
    return ["tune", network_file, "--backend", FAKE, "--max-error", 0.2, "--no-refine", *given]


@pytest.mark.slow
def test_one_command_does_it_and_again_goes_on(
    rankwise: Command, words: list[object], tmp_path: Path
) -> None:
    first = rankwise(*words, "--json")
    assert first.exit_code == 0, first.output
    made = documents.Tuning.model_validate_json(first.stdout)
    assert [step.verb for step in made.steps] == ["profile", "plan", "apply", "verify"]
    assert [step.known for step in made.steps] == [True, False, False, False]  # see `profiled`
    assert made.reached
    assert made.verification is not None
    assert made.verification.speedup_low > 1
    assert made.verification.fidelity["split"] == "report"
    assert (made.network_file, made.plan_file) == ("small.small.onnx", "small.small.plan.json")
    assert (tmp_path / "small.small.onnx").stat().st_size > 1000
    written = json.loads((tmp_path / "small.small.plan.json").read_text())
    assert written["verified"]["speedup"] == made.verification.speedup

    second = rankwise(*words)
    assert second.exit_code == 0, second.output
    assert "the same search was done at" in second.stderr
    for step, line in zip(made.steps, ("profile", "plan", "apply", "verify"), strict=True):
        assert f"rankwise {line} " in step.command
        assert step.command in second.stderr
    for said in ("speedup", "of 0.2 allowed", "small.small.onnx", "rankwise report"):
        assert said in second.stdout


def test_another_goal_is_another_search_and_leaves_the_best(
    rankwise: Command, words: list[object]
) -> None:
    result = rankwise(*words, "--target-speedup", 50, "--json")
    assert result.exit_code == 3, result.output
    assert "the target speedup 50 was not reached" in result.stderr
    made = documents.Tuning.model_validate_json(result.stdout)
    assert [step.known for step in made.steps[:2]] == [True, False]
    assert not made.reached
    assert made.verification is not None


def test_nothing_is_worth_replacing(rankwise: Command, words: list[object], tmp_path: Path) -> None:
    tiny = [1e-6 if word == 0.2 else word for word in words]
    result = rankwise(*tiny)
    assert result.exit_code == 3, result.output
    assert "no network to write" in result.stderr
    assert "rankwise table" in result.stdout
    assert not (tmp_path / "small.small.onnx").exists()


def test_what_cannot_be_is_said_before_anything_is_measured(
    rankwise: Command, network_file: Path, words: list[object]
) -> None:
    wrong = (["-o", network_file], "what is read"), (["-o", "net.tar"], "net.tar")
    for more, said in (*wrong, (["--calibration", "nosuch"], "nosuch")):
        result = rankwise(*words, *more)
        assert result.exit_code == 2, result.output
        assert said in result.stderr
        assert "[1/4]" not in result.stderr


def test_in_python_a_module_stays_in_memory(network_file: Path, tmp_path: Path) -> None:
    told: list[str] = []

    class Listener:
        def message(self, text: str) -> None:
            told.append(text)

        def progress(self, done: float, total: float, text: str) -> None: ...

    given: dict[str, Any] = {"db": f"sqlite:///{tmp_path}/store.db", "refine": False}
    made = rw.tune(network_file, backend=FAKE, output=tmp_path / "a.onnx", **given)
    assert made.plan.objective["max_error"] == 0.1
    assert made.verification is not None
    assert (tmp_path / "a.plan.json").exists()
    with pytest.raises(GoalNotReached) as missed:
        rw.tune(network_file, backend=FAKE, max_error=1e-6, reporter=Listener(), **given)
    assert missed.value.document.verification is None
    assert any(text.startswith("[2/4] rankwise plan ") for text in told)


def test_a_folder_of_pictures_needs_to_be_prepared(
    rankwise: Command, network_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is said before any device is tried, with what to type for an input like this one."""
    monkeypatch.setattr("rankwise.workflow.tune.with_backend", lambda _: pytest.fail("tried"))
    (tmp_path / "photos").mkdir()
    result = rankwise("tune", network_file, "--calibration", tmp_path / "photos")
    assert result.exit_code == 2, result.output
    assert "want --preprocess unit;" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
