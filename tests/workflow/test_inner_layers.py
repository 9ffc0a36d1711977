"""The whole story of networks whose layers are inside other modules, on the fake device."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from rankwise import documents
from rankwise.models.source import load_network

Command = Callable[..., Result]

NETWORKS = """
import torch
from torch import nn

class Encoder(nn.Module):
    input_shape = (1, 6, 64)

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.encoder(x)[:, 0])
"""


@pytest.fixture(autouse=True)
def _networks(tmp_path: Path) -> None:
    (tmp_path / "inner_layers.py").write_text(NETWORKS)


def test_an_encoder_with_packed_projections(rankwise: Command, tmp_path: Path) -> None:
    model, fake, path = "inner_layers:Encoder", "fake:step=16,launch_us=0.01", tmp_path / "p.json"
    assert rankwise("profile", model, "--backend", fake).exit_code == 0
    limits = ["--target-speedup", 2.5, "--trials", 10, "-o", path]
    planned = rankwise("plan", model, "--backend", fake, *limits)
    assert planned.exit_code == 0, planned.output
    plan = documents.Plan.model_validate_json(path.read_text())
    changed = {layer.name for layer in plan.layers if layer.decomposition.kind != "original"}
    assert "encoder.layers.0.self_attn.in_proj" in changed
    applied = rankwise("apply", path, model, "-o", tmp_path / "small.onnx")
    assert applied.exit_code == 0, applied.output
    assert len(load_network(str(tmp_path / "small.onnx")).layers) > len(plan.layers)
    verified = rankwise("verify", path, model, "--backend", fake, "--json")
    assert json.loads(verified.stdout)["speedup"] == pytest.approx(plan.predicted.speedup, rel=0.02)


def test_a_plan_of_before_kept_the_attention_as_one_layer(
    rankwise: Command, tmp_path: Path
) -> None:
    model, fake, path = "inner_layers:Encoder", "fake:step=16,launch_us=0.01", tmp_path / "p.json"
    assert rankwise("profile", model, "--backend", fake).exit_code == 0
    assert rankwise("plan", model, "--backend", fake, "--max-error", 0.5, "-o", path).exit_code == 0
    plan = json.loads(path.read_text())
    attention = "encoder.layers.0.self_attn"
    plan["layers"] = [one for one in plan["layers"] if attention not in one["name"]]
    path.write_text(json.dumps(plan))
    refused = rankwise("apply", path, model, "-o", tmp_path / "small.onnx")
    assert refused.exit_code != 0
    assert "does not say what becomes of layer" in refused.output
    kept = {**plan["layers"][-1], "name": attention, "op": "MultiheadAttention", "spec": None}
    original = {"kind": "original", "ranks": [], "groups": 1}
    plan["layers"] += [{**kept, "decomposition": original, "reason": "unsupported: several inputs"}]
    path.write_text(json.dumps(plan))
    applied = rankwise("apply", path, model, "-o", tmp_path / "small.onnx")
    assert applied.exit_code == 0, applied.output
