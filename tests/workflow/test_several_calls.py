"""A convolution that is called at several sizes: it costs, and saves, the sum over its calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from typer.testing import Result

from rankwise import documents
from rankwise.lowrank import factor, full_ranks, lower
from rankwise.models.moment_sums import MAX_POSITIONS
from rankwise.models.patches import patch_rows
from rankwise.models.source import load_network
from rankwise.records import Decomposition

Command = Callable[..., Result]
FAKE = "fake:step=8,launch_us=0.1,jitter=0"
MODEL = "detector:Detector"

NETWORKS = """
import torch
from torch import nn

class Detector(nn.Module):
    "A head as RetinaNet has it, on three levels of a pyramid."
    input_shape = (1, 3, 32, 32)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.down = nn.Conv2d(32, 32, 3, stride=2, padding=1)
        self.head = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())
        self.boxes = nn.Conv2d(32, 4, 3, padding=1)

    def forward(self, x):
        levels = [self.stem(x)]
        for _ in range(2):
            levels.append(self.down(levels[-1]))
        levels = [self.boxes(self.head(one)).flatten(2) for one in levels]
        return torch.cat(levels, dim=2)
"""


@pytest.fixture(autouse=True)
def _networks(tmp_path: Path) -> None:
    (tmp_path / "detector.py").write_text(NETWORKS)


def run(rankwise: Command, *words: object) -> Result:
    result = rankwise(*words)
    assert result.exit_code == 0, result.output
    return result


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@pytest.fixture
def plan(rankwise: Command, tmp_path: Path) -> documents.Plan:
    run(rankwise, "profile", MODEL, "--backend", FAKE)
    limits = ["--target-speedup", 1.5, "--trials", 10, "-o", tmp_path / "plan.json"]
    run(rankwise, "plan", MODEL, "--backend", FAKE, *limits)
    return documents.Plan.model_validate_json((tmp_path / "plan.json").read_text())


def rows_of(rankwise: Command, name: str) -> dict[Any, list[dict[str, Any]]]:
    """The table's rows of a layer, by decomposition: one for each size."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in json.loads(run(rankwise, "table", "--json").stdout)["rows"]:
        if name in row["layers"]:
            key = row["decomposition"]["kind"], tuple(row["decomposition"]["ranks"])
            found.setdefault(key, []).append(row)
    return found


def test_layers_say_what_all_calls_cost(rankwise: Command) -> None:
    document = json.loads(run(rankwise, "layers", MODEL, "--json").stdout)
    by_name = {one["name"]: one for one in document["layers"]}
    positions = {"stem": 1024, "down": 256 + 64, "head.0": 1344, "boxes": 1344}
    size = {"stem": 27 * 32, "down": 288 * 32, "head.0": 288 * 32, "boxes": 288 * 4}
    assert {name: one["calls"] for name, one in by_name.items()} == {
        "stem": 1,
        "down": 2,
        "head.0": 3,
        "boxes": 3,
    }
    for name, one in by_name.items():
        assert one["macs"] == positions[name] * size[name]


@pytest.mark.slow
def test_a_plan_counts_all_calls(rankwise: Command, plan: documents.Plan, tmp_path: Path) -> None:
    layers = {layer.name: layer for layer in plan.layers}
    assert [layers[name].calls for name in ("stem", "down", "head.0")] == [1, 2, 3]
    head = layers["head.0"]
    assert head.decomposition.kind != "original"
    key = head.decomposition.kind, tuple(head.decomposition.ranks)
    rows = rows_of(rankwise, "head.0")[key]
    assert len(rows) == len(head.measurement_ids) == 3
    assert head.original_latency_s == pytest.approx(sum(row["original_latency_s"] for row in rows))
    assert head.predicted_latency_s == pytest.approx(sum(row["latency_s"] for row in rows))
    words = ["verify", tmp_path / "plan.json", MODEL, "--backend", FAKE, "--json"]
    verified = json.loads(run(rankwise, *words).stdout)
    assert verified["speedup"] == pytest.approx(plan.predicted.speedup, rel=0.02)


@pytest.mark.slow
def test_the_layers_sum_is_the_whole_network_s_time(
    rankwise: Command, plan: documents.Plan, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    words = ["verify", path, MODEL, "--backend", FAKE, "--json"]
    verified = json.loads(run(rankwise, *words).stdout)
    before = sum(layer.original_latency_s or 0 for layer in plan.layers)
    after = sum(layer.predicted_latency_s or 0 for layer in plan.layers)
    assert verified["original_latency_s"] == pytest.approx(before, rel=1e-6)
    assert verified["latency_s"] == pytest.approx(after, rel=1e-6)
    changed = json.loads(run(rankwise, "what-if", path, MODEL, "--json").stdout)
    assert sum(one["latency_s"] for one in changed["layers"]) == pytest.approx(after, rel=1e-6)
    assert changed["original_macs"] == sum(
        one["macs"] for one in json.loads(run(rankwise, "layers", MODEL, "--json").stdout)["layers"]
    )


def test_it_is_written_and_computes_the_same_at_full_rank(tmp_path: Path) -> None:
    network = load_network(MODEL)
    inputs = noise(1, 3, 32, 32)
    (before,) = network.outputs(inputs).values()
    chosen = {}
    for use in network.layers:
        assert use.spec is not None
        kind = "spatial_svd"
        full = Decomposition(kind, full_ranks(use.spec, kind))
        weights = network.weights(use.name)
        chosen[use.name] = lower(use.spec, full), factor(use.spec, full, *weights)
    made = network.replaced(chosen)
    (after,) = made.outputs(inputs).values()
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-4)
    session = onnxruntime.InferenceSession(made.save(tmp_path / "net.onnx"))
    (answer,) = session.run(None, {session.get_inputs()[0].name: inputs})
    np.testing.assert_allclose(answer, before, rtol=1e-3, atol=1e-4)


def test_moments_are_of_all_calls() -> None:
    network = load_network(MODEL)
    inputs = noise(2, 3, 32, 32)
    found = network.moments(inputs, {"head.0": ["patches", "outputs"]})
    use = next(use for use in network.layers if use.name == "head.0")
    seen: list[Tensor] = []
    module: nn.Module = network.module
    handle = module.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        module(torch.from_numpy(inputs))
    handle.remove()
    rows = [
        patch_rows(s, one.numpy(), MAX_POSITIONS["patches"])
        for s, one in zip(use.every_call, seen, strict=True)
    ]
    every = np.concatenate(rows)
    assert found["head.0", "patches"].count == len(every)
    np.testing.assert_allclose(found["head.0", "patches"].mean, every.mean(axis=0), atol=1e-5)
    assert found["head.0", "outputs"].count == 2 * (1024 + 256 + 64)


@pytest.mark.slow
def test_a_plan_with_pictures_weighs_errors_over_all_calls(
    rankwise: Command, pictures: Path, tmp_path: Path
) -> None:
    run(rankwise, "profile", MODEL, "--backend", FAKE)
    words = ["--calibration", pictures, "--preprocess", "unit", "--trials", 5]
    path = tmp_path / "plan.json"
    run(rankwise, "plan", MODEL, "--backend", FAKE, "--max-error", 0.9, *words, "-o", path)
    run(rankwise, "apply", path, MODEL, "-o", tmp_path / "net.onnx", "--calibration", pictures)
    plan = documents.Plan.model_validate_json(path.read_text())
    assert any(layer.decomposition.kind != "original" for layer in plan.layers)
