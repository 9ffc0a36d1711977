"""What is left out is found and said: the backend, the plan, the network that a plan names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from rankwise.db.store import Store
from rankwise.documents.plan_files import read_plan, write_plan
from rankwise.errors import BackendError
from rankwise.options.measuring import ProfileOptions
from rankwise.workflow import backend_choice
from rankwise.workflow.backend_choice import with_backend

Command = Callable[..., Result]
OLD_PLANS = Path(__file__).parents[1] / "data" / "plans"


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, *_: object) -> None: ...


def choice(model: object, **given: object) -> tuple[str | None, str]:
    told = Told()
    made = with_backend(ProfileOptions(model, reporter=told, **given))  # type: ignore[arg-type]
    return made.backend, "".join(told.lines)


def test_a_file_runs_in_its_runtime_and_a_module_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_choice, "_may_be_here", lambda name: name.endswith("-cpu"))
    backend, said = choice("net.onnx")
    assert backend == "onnxruntime-cpu"
    assert said.startswith("--backend onnxruntime-cpu: the best for an .onnx file")
    assert choice("resnet18")[0] == choice("net.onnx", phase="training")[0] == "torch-cpu"
    assert choice("net.onnx", backend="fake") == ("fake", "")
    monkeypatch.setattr(backend_choice, "_may_be_here", lambda _name: False)
    with pytest.raises(BackendError, match="rankwise devices"):
        choice("resnet18")


def test_what_was_measured_last_goes_on(tmp_path: Path) -> None:
    from rankwise.backends.registry import open_backend
    from rankwise.records import (
        ORIGINAL,
        Candidate,
        LayerSpec,
        LayerUse,
        MeasurementPolicy,
        Sample,
    )

    spec = LayerSpec("linear", 8, 8, (8,))
    db, device = f"sqlite:///{tmp_path}/s.db", open_backend("fake").fingerprint()
    with Store.open(db) as store:
        store.networks.put("ab" * 32, "net.onnx", (1, 8), [LayerUse("fc", "linear", spec)])
        original = Candidate(spec, ORIGINAL)
        session = store.sessions.begin(device, MeasurementPolicy(), original, [], {})
        store.sessions.add_round(session, [Sample(0, original.key, "host", 0.5)])
    backend, said = choice("net.onnx", db=db)
    assert backend == "fake"
    assert "was measured on it last" in said


@pytest.fixture
def plan_here(tmp_path: Path) -> Path:
    target = tmp_path / "made.json"
    shutil.copy(next(OLD_PLANS.glob("*.json")), target)
    return target


def test_the_newest_plan_of_a_network_is_found(rankwise: Command, plan_here: Path) -> None:
    older = read_plan(plan_here).model_copy(update={"created_at": "2020-01-01T00:00:00+00:00"})
    write_plan(older, plan_here.with_name("a_older.json"))
    plan_here.with_name("other.json").write_text('{"kind": "rankwise.plan"}')  # is none
    source = Path(older.model.source).name
    for words in (["report"], ["report", source]):
        result = rankwise(*words, "-o", "page.html")
        assert result.exit_code == 0, result.output
        assert f"the plan is made.json (for {older.model.source}, the newest of 2)" in result.stderr


def test_plans_of_several_networks_are_not_guessed(rankwise: Command, plan_here: Path) -> None:
    plan = read_plan(plan_here)
    plan.model.source = "another.onnx"
    write_plan(plan, plan_here.with_name("another.json"))
    result = rankwise("report", "-o", "page.html")
    assert result.exit_code == 2
    assert "plans of another.onnx, " in result.stderr
    assert rankwise("report", "another.onnx", "-o", "page.html").exit_code == 0


@pytest.mark.parametrize("words", [["verify"], ["apply", "net.onnx", "-o", "a.onnx"], ["what-if"]])
def test_no_plan_is_one_sentence(rankwise: Command, words: list[str]) -> None:
    result = rankwise(*words)
    assert result.exit_code == 2
    assert "rankwise: there is no plan" in result.stderr


def test_the_network_is_the_plans(rankwise: Command, plan_here: Path) -> None:
    source = read_plan(plan_here).model.source
    result = rankwise("apply", "-o", "out.safetensors")
    assert result.exit_code in (0, 2)
    assert "the plan is made.json" in result.stderr
    assert source in result.stderr


def test_a_function_is_not_taken_for_a_plan(rankwise: Command, plan_here: Path) -> None:
    result = rankwise("finetune", "nosuch:train", "-o", "out.safetensors")
    assert f"the plan is {plan_here.name}" in result.stderr
    missing = rankwise("finetune", plan_here, "-o", "out.safetensors")
    assert "FUNCTION is missing" in missing.stderr
