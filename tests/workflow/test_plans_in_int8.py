"""`plan --dtype int8`, on the fake backend: rows in int8, errors of quantised networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from rankwise import documents

Command = Callable[..., Result]
FAKE = "fake:step=16"


@pytest.fixture
def in_int8(rankwise: Command, network_file: Path) -> None:
    result = rankwise("profile", network_file, "--backend", FAKE, "--dtype", "int8")
    assert result.exit_code == 0, result.output


def planned(
    rankwise: Command, network: Path, pictures: Path, folder: Path, limit: float, *more: Any
) -> documents.Plan:
    path = folder / "plan.json"
    words = ["--backend", FAKE, "--dtype", "int8", "--preprocess", "unit", "--max-error", limit]
    result = rankwise("plan", network, *words, "--calibration", pictures, "-o", path, *more)
    assert result.exit_code == 0, result.output
    return documents.Plan.model_validate_json(path.read_text())


@pytest.mark.usefixtures("in_int8")
def test_a_plan_rests_on_rows_and_errors_in_int8(
    rankwise: Command, network_file: Path, pictures: Path, tmp_path: Path
) -> None:
    plan = planned(rankwise, network_file, pictures, tmp_path, 0.4)
    assert plan.in_int8
    assert plan.policies[0]["dtype"] == "int8"
    replaced = [layer for layer in plan.layers if layer.decomposition.kind != "original"]
    assert replaced
    assert plan.predicted.speedup is not None
    assert plan.predicted.speedup > 1.05
    assert plan.predicted.own_run
    assert plan.predicted.network_error is not None
    assert 0 < plan.predicted.network_error <= 0.4
    smaller = tmp_path / "smaller.onnx"
    words = [tmp_path / "plan.json", network_file, "--data", pictures]
    result = rankwise("apply", *words, "-o", smaller)
    assert result.exit_code == 0, result.output
    assert b"DequantizeLinear" in smaller.read_bytes()
    result = rankwise("verify", *words, "--json")
    assert result.exit_code == 0, result.output
    found = documents.VerificationDocument.model_validate_json(result.stdout)
    original, compressed = found.in_int8
    assert compressed.speedup > original.speedup
    assert found.predicted_speedup is None
