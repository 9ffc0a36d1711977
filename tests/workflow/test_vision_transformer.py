"""A vision transformer of the transformers package, with random weights: speed only.

Its linear layers are what can be decomposed: query, key, value and output projections, and the
two of each block's perceptron. As a module it returns a `ModelOutput`, whose first tensor (the
logits) is what is compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from rankwise import documents
from rankwise.factors.assembly import Assembly
from rankwise.models.fidelity import relative_error
from rankwise.models.network import only
from rankwise.models.source import load_network
from rankwise.network_timing.inference_runs import NETWORK_EFFORT, compare_networks
from rankwise.records import Decomposition

Command = Callable[..., Result]

NETWORKS = """
from transformers import ViTConfig, ViTForImageClassification, ViTModel

def make(hidden, layers, size, patch, kind=ViTForImageClassification):
    config = ViTConfig(
        hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, image_size=size, patch_size=patch, num_labels=10,
    )
    net = kind(config)
    net.input_shape = (1, 3, size, size)
    return net

def tiny():
    return make(64, 2, 32, 8)

def backbone():
    return make(64, 1, 32, 8, ViTModel)

def small():
    return make(96, 2, 32, 8)
"""


@pytest.fixture(autouse=True)
def _networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "vision_transformers.py").write_text(NETWORKS)


def linear_layers(plan: documents.Plan) -> list[documents.PlannedLayer]:
    """Those with a weight: the exported attention's products of two tensors have none."""
    return [layer for layer in plan.layers if layer.op == "linear" and layer.spec]


def run(rankwise: Command, *words: object, status: tuple[int, ...] = (0,)) -> Result:
    result = rankwise(*words)
    assert result.exit_code in status, result.output
    return result


def story(
    rankwise: Command,
    model: object,
    backend: str,
    plan: Path,
    target: float,
    profiling: Sequence[object] = (),
    planning: Sequence[object] = (),
) -> tuple[documents.Plan, dict[str, object]]:
    """Profile, plan for a speedup, apply, verify. A real device may miss the speedup: status 3."""
    run(rankwise, "profile", model, "--backend", backend, *profiling, status=(0, 1))
    limits = ["--target-speedup", target, "--trials", 10, *planning, "-o", plan]
    run(rankwise, "plan", model, "--backend", backend, *limits, status=(0, 3))
    output = plan.with_suffix(".onnx")
    run(rankwise, "apply", plan, model, "-o", output)
    assert len(load_network(str(output)).layers) >= 14
    words = ["verify", plan, model, "--backend", backend, "--json"]
    verified = run(rankwise, *words, status=(0, 3)).stdout
    return documents.Plan.model_validate_json(plan.read_text()), json.loads(verified)


def test_the_whole_story_on_the_fake_device(rankwise: Command, tmp_path: Path) -> None:
    model = "vision_transformers:tiny"
    fake = "fake:step=16,launch_us=0.1"
    plan, verified = story(rankwise, model, fake, tmp_path / "plan.json", 1.6)
    assert len(linear_layers(plan)) == 2 * 6 + 1
    replaced = {n.decomposition.kind for n in linear_layers(plan)} - {"original"}
    assert replaced == {"svd"}
    assert plan.predicted.speedup is not None
    assert plan.predicted.speedup > 1.5
    assert verified["speedup"] == pytest.approx(plan.predicted.speedup, rel=0.02)


def test_the_module_and_its_export_become_the_same_network(tmp_path: Path) -> None:
    network = load_network("vision_transformers:tiny")
    exported = load_network(str(network.to_onnx(tmp_path / "vit.onnx")))
    inputs = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    found = []
    for one in (network, exported):
        wide = [use.name for use in one.layers if use.spec and use.spec.out_channels == 256]
        assert len(wide) == 2
        decisions = dict.fromkeys(wide, Decomposition("svd", (16,)))
        found.append(only(Assembly(one).network_with(decisions).outputs(inputs)))
    assert relative_error(only(network.outputs(inputs)), found[0]) > 1e-3
    assert relative_error(*found) < 1e-3


def test_without_a_head_both_tensors_are_compared() -> None:
    network = load_network("vision_transformers:backbone")
    inputs = np.zeros((2, 3, 32, 32), np.float32)
    shapes = {name: one.shape for name, one in network.outputs(inputs).items()}
    assert shapes == {"last_hidden_state": (2, 17, 64), "pooler_output": (2, 64)}


@pytest.fixture
def one_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whole networks, instead of three, each in a process of its own that loads all libraries
    anew: how sure the times are does not matter here, and tests/network_timing counts processes."""
    once = partial(compare_networks, effort=replace(NETWORK_EFFORT, preparations=1))
    monkeypatch.setattr(import_module("rankwise.workflow.verify"), "compare_networks", once)


@pytest.mark.slow
@pytest.mark.usefixtures("one_preparation")
@pytest.mark.parametrize("backend", ["torch-cpu", "onnxruntime-cpu"])
def test_the_whole_story_on_a_real_device(rankwise: Command, tmp_path: Path, backend: str) -> None:
    model: object = "vision_transformers:small"
    if backend.startswith("onnxruntime"):
        model = load_network(str(model)).to_onnx(tmp_path / "vit.onnx")
    few = ["--rank-quantum", 32, "--kinds", "svd", "--max-time", "6s", "--interval", 0.5]
    path = tmp_path / "plan.json"
    plan, verified = story(rankwise, model, backend, path, 1.1, few, ["--no-refine"])
    linear = linear_layers(plan)
    assert len(linear) == 2 * 6 + 1
    assert sum(layer.reason != "not_measured" for layer in linear) >= 12
    documents.VerificationDocument.model_validate(verified)
