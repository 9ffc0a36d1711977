"""A run of MLflow holds what the verbs did: against the real library, with a local store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

import rankwise as rw
from rankwise import documents
from rankwise.reporter import Silent, heard


@pytest.fixture
def mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: Callable[[str, str], NoReturn]
) -> Any:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    try:
        import mlflow
    except ImportError:
        need("mlflow", "MLflow is not installed")
    return mlflow


def test_all_verbs_are_in_one_run(mlflow: Any, told: Any, tmp_path: Path) -> None:
    tracker, done = rw.MlflowTracker(), told.documents
    assert tracker.run_id is None
    told.tell(tracker)
    client = mlflow.MlflowClient()
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == "rankwise"
    (only,) = client.search_runs([run.info.experiment_id])
    assert only.info.run_id == tracker.run_id

    params, metrics = run.data.params, run.data.metrics
    assert params["profile.kinds"] == "spatial_svd"
    assert params["plan.max_error"] == "0.95"
    assert params["recover.steps"] == "20"
    assert params["finetune.function"].endswith("train")
    assert params["finetune.model"] == "torch.nn.modules.container:Sequential"
    assert metrics["profile.measured"] == done["profile"].measured > 0
    assert metrics["plan.predicted.speedup"] == done["plan"].predicted.speedup
    assert metrics["verify.speedup"] == done["verify"].speedup
    assert metrics["recover.report.after"] == done["recover"].report.after
    for verb, name in (
        ("profile", "candidates_timed"),
        ("plan", "timed_speedup"),
        ("recover", "loss"),
        ("finetune", "validation_loss"),
    ):
        kept = client.get_metric_history(tracker.run_id, f"{verb}.{name}")
        assert [(one.step, one.value) for one in kept] == told.steps(verb, name)

    for verb, document in done.items():
        path = mlflow.artifacts.download_artifacts(
            run_id=tracker.run_id, artifact_path=f"{verb}.json", dst_path=str(tmp_path)
        )
        assert json.loads(Path(path).read_text()) == document.model_dump(mode="json")


def tell(tracker: Any, verb: str, result: Any, **options: Any) -> None:
    tracker.began(verb, options)
    tracker.ended(verb, result)


def test_the_active_run_is_used_and_stays_open(mlflow: Any) -> None:
    check = documents.Doctor(fit=True, backend="fake", checks=[])
    with mlflow.start_run() as active:
        tell(rw.MlflowTracker(), "doctor", check, pairs=1)
        tell(rw.MlflowTracker(), "doctor", check, pairs=2)  # another one for the same run
        run = mlflow.get_run(active.info.run_id)
        assert run.info.status == "RUNNING"
    assert run.data.params == {"doctor.pairs": "1", "doctor_2.pairs": "2"}
    assert run.data.metrics == {"doctor.fit": 1.0, "doctor_2.fit": 1.0}


def test_a_verb_that_fails_leaves_a_failed_run(mlflow: Any) -> None:
    tracker = rw.MlflowTracker(experiment="other")
    tell(tracker, "plan", None)
    run = mlflow.get_run(tracker.run_id)
    assert run.info.status == "FAILED"
    tell(tracker, "plan", object())
    assert mlflow.get_run(tracker.run_id).info.status == "FINISHED"
    assert mlflow.get_experiment_by_name("other").experiment_id == run.info.experiment_id


@pytest.mark.usefixtures("mlflow")
def test_a_run_that_is_not_there_loses_nothing_of_the_work() -> None:
    said: list[str] = []

    class Lines(Silent):
        def message(self, *text: object, **_: object) -> None:
            said.extend(map(str, text))

    listening = [Lines(), rw.MlflowTracker("nosuch")]
    assert heard("plan", listening, {"seed": 1}, lambda _told: "done") == "done"
    assert len(said) == 1
    assert said[0].startswith("MlflowTracker failed and hears no more of this: ")
