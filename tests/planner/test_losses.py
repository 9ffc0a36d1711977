"""What a plan may lose: the network error's bound, and the user's own score with its floor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from rankwise.errors import UsageError
from rankwise.planner.score import Score

Command = Callable[..., Result]
FAKE = "fake:step=16"
EVALUATION = """
import numpy as np

INPUTS = np.random.default_rng(5).random((8, 3, 16, 16), dtype=np.float32)
REFERENCE = None

def closeness(run):
    global REFERENCE
    outputs = run(INPUTS)
    if REFERENCE is None:
        REFERENCE = outputs
    return 1 - float(np.linalg.norm(outputs - REFERENCE) / np.linalg.norm(REFERENCE))

def broken(run):
    raise ValueError("no")
"""


def network(score: float) -> Any:
    return SimpleNamespace(outputs=lambda _: {"y": np.full((1, 1), score, np.float32)})


def mean(run: Callable[[Any], Any]) -> float:
    return float(run(np.zeros((1, 1))).mean())


class TestScore:
    def test_share_of_the_way_to_the_floor(self) -> None:
        score = Score("mean", mean, 0.5, network(1.0))
        shares = [score.share(network(s)) for s in (1.0, 0.75, 0.5, 0.25)]
        assert shares == pytest.approx([0, 0.5, 1, 1.5])

    def test_several_outputs_come_by_name(self) -> None:
        ones = {"mask": np.ones((1, 2), np.float32), "depth": np.ones((1, 1), np.float32)}
        both: Any = SimpleNamespace(outputs=lambda _: ones)
        score = Score("sizes", lambda run: sum(one.size for one in run(None).values()), 0.5, both)
        assert score.original == 3

    @pytest.mark.parametrize("value", [0.5, 0.4, np.nan])
    def test_original_below_the_floor(self, value: float) -> None:
        with pytest.raises(UsageError):
            Score("mean", mean, 0.5, network(value))


class TestCommand:
    def plan(self, rankwise: Command, network_file: Path, output: Path, *words: object) -> Result:
        run = ["plan", network_file, "--backend", FAKE, "--trials", 5, "-o", output, *words]
        return rankwise(*run)

    @pytest.fixture
    def evaluation(
        self, rankwise: Command, network_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> str:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "users_score.py").write_text(EVALUATION)
        assert rankwise("profile", network_file, "--backend", FAKE).exit_code == 0
        return "users_score:closeness"

    def test_floor_is_kept_and_verified(
        self, rankwise: Command, network_file: Path, tmp_path: Path, evaluation: str
    ) -> None:
        path = tmp_path / "plan.json"
        words = ["--evaluate", evaluation, "--floor", 0.7]
        result = self.plan(rankwise, network_file, path, *words)
        assert result.exit_code == 0, result.output
        plan = json.loads(path.read_text())
        assert any(layer["decomposition"]["kind"] != "original" for layer in plan["layers"])
        verified = rankwise("verify", path, network_file, "--json")
        fidelity = json.loads(verified.stdout)["fidelity"]
        assert fidelity["original_score"] > fidelity["score"] >= 0.7

    @pytest.mark.usefixtures("evaluation")
    @pytest.mark.parametrize(
        "words",
        [
            ["--evaluate", "users_score:closeness"],
            ["--floor", 0.5, "--max-error", 0.1],
            ["--evaluate", "users_score:broken", "--floor", 0.5],
            ["--evaluate", "users_score:none", "--floor", 0.5],
            ["--evaluate", "users_score:closeness", "--floor", 1.5],
            ["--max-error", 0.1, "--max-weight-bytes", 0],
        ],
    )
    def test_bad_words(
        self,
        rankwise: Command,
        network_file: Path,
        tmp_path: Path,
        words: list[object],
    ) -> None:
        result = self.plan(rankwise, network_file, tmp_path / "plan.json", *words)
        assert result.exit_code == 2, result.output
        assert not (tmp_path / "plan.json").exists()

    @pytest.mark.usefixtures("evaluation")
    def test_weight_bytes_limit_parameters(
        self, rankwise: Command, network_file: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "plan.json"
        words = ["--max-error", 0.9, "--max-weight-bytes", 120_000, "--no-refine"]
        result = self.plan(rankwise, network_file, path, *words)
        assert result.exit_code == 0, result.output
        cost = json.loads(rankwise("what-if", path, "--json").stdout)
        assert 4 * cost["params"] <= 120_000 < 4 * cost["original_params"]
