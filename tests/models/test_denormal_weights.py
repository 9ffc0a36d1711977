"""Weights that are nearly zero are said by layer, by `layers` and in plans."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from rankwise.integrity.denormal_weights import SHARE, denormal_notes, denormal_share
from rankwise.models.source import load_network, network_of_module


def dying() -> nn.Module:
    """Half of the second layer's channels have died, but not to zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3))
    with torch.no_grad():
        module[2].weight[:3] *= 1e-39
        module[0].weight[0] = 0
    return module.eval()


def test_by_layer() -> None:
    network = network_of_module(dying(), (1, 3, 8, 8))
    notes = denormal_notes(network.layers, network.weights)
    assert list(notes) == ["2"]
    assert notes["2"].startswith("0.5 of its weights are denormal")


@pytest.mark.parametrize(
    ("value", "share"), [(0.0, 0.0), (1e-39, 1.0), (-1e-45, 1.0), (1.2e-38, 0.0), (1.0, 0.0)]
)
def test_zero_is_not_denormal(value: float, share: float) -> None:
    assert denormal_share(np.full(5, value, np.float32)) == share


def test_a_few_are_not_worth_a_word() -> None:
    module = nn.Linear(100, 100)
    with torch.no_grad():
        module.weight[0, : int(SHARE * 10_000) - 1] = 1e-40
    network = network_of_module(nn.Sequential(module), (1, 100))
    assert not denormal_notes(network.layers, network.weights)


@pytest.fixture
def dying_file(network_file: Path, tmp_path: Path) -> tuple[Path, str]:
    model = onnx.load(network_file)
    node = [node for node in model.graph.node if node.op_type == "Conv"][1]
    (tensor,) = (t for t in model.graph.initializer if t.name == node.input[1])
    weight = np.array(numpy_helper.to_array(tensor))
    weight[: len(weight) // 2] *= np.float32(1e-39)
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    onnx.save(model, tmp_path / "dying.onnx")
    return tmp_path / "dying.onnx", node.name


def test_layers_and_plan_say_it(rankwise, dying_file: tuple[Path, str]) -> None:
    file, name = dying_file
    document = json.loads(rankwise("layers", file, "--json").stdout)
    noted = {layer["name"]: layer["note"] for layer in document["layers"] if layer["note"]}
    assert list(noted) == [name]
    assert "denormal" in noted[name]
    assert f"{name}: 0.5 of its weights are denormal" in rankwise("layers", file).stdout.replace(
        "\n", " "
    )
    fake = ("--backend", "fake:step=16")
    assert rankwise("profile", file, *fake, "--kinds", "svd").exit_code == 0
    words = (*fake, "--max-error", "0.9", "-o", "plan.json")
    made = rankwise("plan", file, *words)
    assert made.exit_code in (0, 3), made.output
    (note,) = (n for n in json.loads(Path("plan.json").read_text())["notes"] if "denormal" in n)
    assert note.startswith(f"layer {name}: 0.5 of its weights")
    assert load_network(str(file)).layers
