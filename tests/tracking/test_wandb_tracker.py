"""A run of Weights & Biases holds what the verbs did: the real library, offline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import rankwise as rw
from rankwise import documents


@pytest.fixture
def wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: Callable[[str, str], NoReturn]
) -> Iterator[Any]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    try:
        import wandb
    except ImportError:
        need("wandb", "wandb is not installed")
    wandb.teardown()  # it reads its settings once, and another library may have made it do so
    yield wandb
    wandb.teardown()


def test_all_verbs_are_in_one_run(wandb: Any, told: Any, tmp_path: Path) -> None:
    done = told.documents
    with rw.WandbTracker() as tracker:
        told.tell(tracker)
        run = tracker.run
        assert (run.project, wandb.run) == ("rankwise", run)
        config, summary = dict(run.config), run.summary
        assert config["profile.kinds"] == "spatial_svd"
        assert config["plan.max_error"] == 0.95
        assert summary["plan.predicted.speedup"] == done["plan"].predicted.speedup
        assert summary["verify.speedup"] == done["verify"].speedup
        assert summary["recover.step"] == done["recover"].history[-1].step
        assert summary["recover.select_error"] == done["recover"].history[-1].score
        assert summary["finetune.validation_loss"] == done["finetune"].history[-1].score
    assert wandb.run is None
    wandb.teardown()  # its service has written everything then
    (kept,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    written = kept.read_bytes()
    for verb in done:
        assert f"{run.id}-{verb}".encode() in written  # its artifact


def test_a_run_that_is_there_is_used_and_stays_open(wandb: Any) -> None:
    check = documents.Doctor(fit=True, backend="fake", checks=[])
    with wandb.init(project="mine") as run:
        for pairs in (1, 2):
            with rw.WandbTracker() as tracker:
                assert tracker.run is run
                tracker.began("doctor", {"pairs": pairs})
                tracker.metrics({"noise": 0.5, "nothing": float("nan")}, 1)
                tracker.ended("doctor", check)
        assert wandb.run is run
        assert dict(run.config) == {"doctor.pairs": 1, "doctor_2.pairs": 2}
        assert run.summary["doctor.noise"] == 0.5
        assert "doctor.nothing" not in dict(run.summary)
