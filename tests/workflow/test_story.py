"""The main job on the fake backend, whose times are exact: profile, table, plan, apply, verify."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from typer.testing import Result

from rankwise import documents

Command = Callable[..., Result]
FAKE = "fake:step=16"


def run(rankwise: Command, *words: object, status: int = 0) -> Result:
    result = rankwise(*words)
    assert result.exit_code == status, result.output
    return result


def plan_words(network_file: Path, pictures: Path, output: Path) -> list[object]:
    return [
        "plan",
        network_file,
        "--backend",
        FAKE,
        "--max-error",
        0.2,
        "--calibration",
        pictures,
        "--preprocess",
        "unit",
        "--trials",
        20,
        "-o",
        output,
    ]


def test_profile_measures_once(
    rankwise: Command, network_file: Path, profiled: dict[str, object]
) -> None:
    documents.Profile.model_validate(profiled)
    assert profiled["complete"]
    assert profiled["measured"] == profiled["candidates"]
    again = run(rankwise, "profile", network_file, "--backend", FAKE, "--json")
    document = json.loads(again.stdout)
    assert document["measured"] == 0
    assert document["samples"] == 0
    assert document["already_measured"] == document["candidates"]


def test_table_rows_are_the_contracts(
    rankwise: Command, network_file: Path, profiled: dict[str, object]
) -> None:
    table = json.loads(run(rankwise, "table", "--json").stdout)
    documents.Table.model_validate(table)
    assert len(table["rows"]) == profiled["candidates"]
    layers = json.loads(run(rankwise, "layers", network_file, "--json").stdout)["layers"]
    named = {name for row in table["rows"] for name in row["layers"]}
    decomposable = {layer["name"] for layer in layers if layer["kinds"]}
    assert named == decomposable - {"node_linear"}  # whose full rank is below the rank quantum
    for row in table["rows"]:
        assert row["speedup"] == pytest.approx(row["original_latency_s"] / row["latency_s"])
        assert row["speedup_low"] <= row["speedup"] <= row["speedup_high"]


@pytest.mark.usefixtures("profiled")
@pytest.mark.parametrize("format", ["table", "csv", "markdown", "html"])
def test_table_formats(rankwise: Command, format: str) -> None:
    output = run(rankwise, "table", "--format", format).stdout
    assert "channel_svd" in output
    assert "FASTER" in output


@pytest.mark.usefixtures("profiled")
def test_table_tells_policies_apart(rankwise: Command, network_file: Path) -> None:
    assert "threads" not in run(rankwise, "table").stdout
    run(rankwise, "profile", network_file, "--backend", FAKE, "--threads", 2)
    for format in ("table", "markdown", "html"):
        output = run(rankwise, "table", "--format", format).stdout
        assert ", threads 1" in output
        assert ", threads 2" in output
        assert "phase" not in output


def test_table_filters(rankwise: Command, profiled: dict[str, object]) -> None:
    rows = json.loads(run(rankwise, "table", "--json", "--device", "fake").stdout)["rows"]
    assert len(rows) == profiled["candidates"]
    assert not json.loads(run(rankwise, "table", "--json", "--device", "cuda").stdout)["rows"]
    unknown = run(rankwise, "table", "--model", "nosuch", status=2)
    assert "nosuch" in unknown.output


@pytest.mark.usefixtures("profiled")
def test_plan_apply_verify(
    rankwise: Command,
    network_file: Path,
    pictures: Path,
    tmp_path: Path,
) -> None:
    path, smaller = tmp_path / "plan.json", tmp_path / "smaller.onnx"
    run(rankwise, *plan_words(network_file, pictures, path))
    plan = documents.Plan.model_validate_json(path.read_text())
    replaced = [layer for layer in plan.layers if layer.decomposition.kind != "original"]
    assert replaced
    assert all(layer.measurement_ids for layer in replaced)
    assert all(layer.reason for layer in plan.layers)
    assert plan.predicted.network_error is not None
    assert plan.predicted.network_error <= 0.2
    assert plan.predicted.own_run
    assert plan.predicted.runs >= 3
    assert plan.predicted.model_error is not None
    assert plan.predicted.model_error < 0.02
    assert all(layer.in_network_saving_s for layer in replaced)

    run(rankwise, "apply", path, network_file, "-o", smaller)  # moments come from the cache
    onnx.checker.check_model(str(smaller), full_check=True)
    inputs = np.random.default_rng(0).random((1, 3, 16, 16), dtype=np.float32)
    a, b = (
        onnxruntime.InferenceSession(str(file)).run(None, {"x": inputs})[0]
        for file in (network_file, smaller)
    )
    assert a.shape == b.shape

    words = ["verify", path, network_file, "--data", pictures, "--json"]
    verified = json.loads(run(rankwise, *words).stdout)
    documents.VerificationDocument.model_validate(verified)
    assert verified["speedup_low"] > 1
    assert verified["speedup"] == pytest.approx(plan.predicted.speedup, rel=0.01)  # exact times
    assert verified["fidelity"]["split"] == "report"
    noted = documents.Plan.model_validate_json(path.read_text())
    assert noted.verified is not None
    assert noted.verified.speedup == verified["speedup"]
    assert (noted.backend, noted.verified.device) == (FAKE, plan.device)  # options and all

    words = ["verify", path, network_file, "--backend", "fake:step=16,launch_us=5000", "--json"]
    slower = run(rankwise, *words, status=3)
    assert "slower" in slower.stderr
    assert documents.VerificationDocument.model_validate_json(slower.stdout).speedup_high < 1


@pytest.mark.usefixtures("profiled")
def test_plan_is_deterministic(
    rankwise: Command,
    network_file: Path,
    pictures: Path,
    tmp_path: Path,
) -> None:
    found = []
    for name in ("a.json", "b.json"):
        run(rankwise, *plan_words(network_file, pictures, tmp_path / name))
        found.append(documents.Plan.model_validate_json((tmp_path / name).read_text()))
    assert found[0].layers == found[1].layers
    assert found[0].predicted == found[1].predicted
