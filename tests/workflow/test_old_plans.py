"""A plan that the first version wrote still does its work."""

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


@pytest.fixture
def old_plan(network_file: Path, pictures: Path, tmp_path: Path) -> Path:
    """The sample, as if it had been made for this machine's file: exporters name nodes."""
    plan = json.loads((SAMPLES / "version_1_first.json").read_text(encoding="utf-8"))
    network = load_network(str(network_file))
    plan["model"]["sha256"] = network.sha256
    plan["calibration"]["sha256"] = load_calibration(pictures, "unit", network.input_shape).sha256
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
    output = tmp_path / "small.onnx"
    words = ["apply", old_plan, network_file, "-o", output, "--calibration", pictures]
    assert rankwise(*words).exit_code == 0
    assert len(load_network(str(output)).layers) > len(layers)
    result = rankwise("verify", old_plan, network_file, "--data", pictures, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["fidelity"]["relative_error"] < 0.2
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
