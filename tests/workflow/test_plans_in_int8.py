"""`plan --dtype int8`, on the fake backend: rows in int8, errors of quantised networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from rankwise import documents
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.quantization.integer_kernels import integer_products

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
    smaller, planned_file = tmp_path / "smaller.onnx", tmp_path / "plan.json"
    words, data = [planned_file, network_file], ["--preprocess", "unit"]
    result = rankwise("apply", *words, "--calibration", pictures, *data, "-o", smaller)
    assert result.exit_code == 0, result.output
    assert integer_products(OnnxNetwork.load(smaller).model) >= len(replaced)
    result = rankwise("verify", *words, "--data", pictures, *data)
    assert result.exit_code == 0, result.output
    verified = documents.Plan.model_validate_json(planned_file.read_text()).verified
    assert verified is not None
    assert verified.speedup == pytest.approx(plan.predicted.speedup, rel=0.02)
    assert [one.network for one in verified.in_int8] == ["original", "compressed"]
    error = verified.in_int8[1].network_error
    assert verified.fidelity["relative_error"] == pytest.approx(error)


@pytest.mark.usefixtures("in_int8")
def test_below_the_error_of_int8_layers_stay_in_float32(
    rankwise: Command, network_file: Path, pictures: Path, tmp_path: Path
) -> None:
    """Plain int8 loses 0.0095 here."""
    plan = planned(rankwise, network_file, pictures, tmp_path, 0.006, "--no-refine")
    assert plan.in_float
    assert plan.predicted.network_error is not None
    assert 0 < plan.predicted.network_error <= 0.006
    reasons = {layer.name: layer.reason for layer in plan.layers}
    kept = [n for n in plan.in_float if not plan.decisions[n].has_factors]
    assert {reasons[name] for name in kept} <= {"in_float32"}


@pytest.mark.usefixtures("in_int8")
def test_what_if_and_explain_know_that_a_plan_is_in_int8(
    rankwise: Command, network_file: Path, pictures: Path, tmp_path: Path
) -> None:
    """Nothing edited, the quantised network loses what the plan says. A layer that stays in float32
    has its own row; the one that int8 hurts most, put into int8, is faster, and the network loses
    more."""
    plan = planned(rankwise, network_file, pictures, tmp_path, 0.006, "--no-refine")
    path, data = tmp_path / "plan.json", ["--calibration", pictures, "--preprocess", "unit"]
    result = rankwise("what-if", path, *data, "--json")
    assert result.exit_code == 0, result.output
    found = documents.WhatIf.model_validate_json(result.stdout)
    assert found.network_error == pytest.approx(plan.predicted.network_error)
    assert found.speedup == pytest.approx(plan.predicted.speedup, rel=0.01)
    assert not any(layer.note for layer in found.layers if layer.name in plan.in_float)

    name = plan.in_float[-1]
    result = rankwise("explain", path, "--json")
    assert result.exit_code == 0, result.output
    explained = documents.Explanation.model_validate_json(result.stdout)
    assert explained.policy["dtype"] == "int8"
    [candidate] = next(layer for layer in explained.layers if layer.name == name).candidates
    assert candidate.decomposition.precision == "float32"

    layer = next(layer for layer in plan.layers if layer.name == name)
    layer.decomposition.precision = ""
    path.write_text(plan.model_dump_json())
    result = rankwise("what-if", path, *data, "--json")
    assert result.exit_code == 0, result.output
    edited = documents.WhatIf.model_validate_json(result.stdout)
    assert edited.network_error is not None
    assert found.network_error is not None
    assert edited.network_error > found.network_error
    assert edited.speedup is not None
    assert found.speedup is not None
    assert edited.speedup > found.speedup


@pytest.mark.usefixtures("in_int8")
def test_what_int8_cannot_do_is_refused_in_one_sentence(
    rankwise: Command, network_file: Path, tmp_path: Path
) -> None:
    words = ["--backend", FAKE, "--dtype", "int8", "--max-error", 0.4, "-o", tmp_path / "p.json"]
    result = rankwise("plan", network_file, *words)
    assert result.exit_code == 2
    assert "int8 needs pictures to take ranges from: give --calibration" in result.output
    words[words.index("int8")] = "float16"
    result = rankwise("plan", network_file, *words)
    assert result.exit_code == 2
    assert "float16" in result.output
    result = rankwise("plan", network_file, "--backend", "torch-cpu", "--dtype", "int8", *words[4:])
    assert result.exit_code == 2
    assert "torch-cpu cannot compute in int8" in result.output
