"""Plans that earlier versions wrote still do their work."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from rankwise.documents import SCHEMA_VERSION
from rankwise.models.pictures import load_calibration
from rankwise.models.source import load_network

Command = Callable[..., Result]
SAMPLES = Path(__file__).parents[1] / "data" / "plans"


@pytest.fixture(params=["version_1_first", "version_1_last", "version_2", "version_3"])
def old_plan(
    network_file: Path, pictures: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Path:
    """The sample, as if it had been made for this machine's file: exporters name nodes. Until
    version 3 there was no confirm split."""
    plan = json.loads((SAMPLES / f"{request.param}.json").read_text(encoding="utf-8"))
    network = load_network(str(network_file))
    plan["model"]["sha256"] = network.sha256
    confirm = plan["schema_version"] > 2
    calibration = load_calibration(pictures, "unit", network.input_shape, confirm=confirm)
    plan["calibration"]["sha256"] = calibration.sha256
    for part in plan.get("compared", []):
        (part["output"],) = network.output_names.compared
        part["name"] = part["output"]
    for layer, use in zip(plan["layers"], network.layers, strict=True):
        layer["name"] = use.name
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan), encoding="utf-8")
    return path


def test_it_is_applied_verified_and_written_anew(
    rankwise: Command, network_file: Path, pictures: Path, old_plan: Path, tmp_path: Path
) -> None:
    layers = json.loads(old_plan.read_text())["layers"]
    assert {layer["factors"] for layer in layers} >= {"data"}
    before = json.loads(old_plan.read_text())["predicted"]["network_error"]
    output = tmp_path / "small.onnx"
    words = ["apply", old_plan, network_file, "-o", output, "--calibration", pictures]
    assert rankwise(*words).exit_code == 0
    assert len(load_network(str(output)).layers) > len(layers)
    result = rankwise("verify", old_plan, network_file, "--data", pictures, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["fidelity"]["relative_error"] < 1.3 * before
    assert json.loads(old_plan.read_text())["schema_version"] == SCHEMA_VERSION


def test_a_newer_plan_is_refused(
    rankwise: Command, network_file: Path, old_plan: Path, tmp_path: Path
) -> None:
    newer = {**json.loads(old_plan.read_text()), "schema_version": SCHEMA_VERSION + 1}
    old_plan.write_text(json.dumps(newer), encoding="utf-8")
    result = rankwise("apply", old_plan, network_file, "-o", tmp_path / "small.onnx")
    assert result.exit_code == 2
    assert "upgrade rankwise" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
