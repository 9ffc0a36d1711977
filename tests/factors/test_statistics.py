"""Batch normalisation estimated again after layers were replaced."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import Result

from rankwise.errors import UsageError
from rankwise.factors.assembly import Assembly
from rankwise.factors.output_statistics import with_channels, with_statistics
from rankwise.models.fidelity import relative_error
from rankwise.models.network import Network, only
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.torch_network import TorchNetwork
from rankwise.records import Decomposition
from rankwise.training.training_pictures import Rows

SHAPE = (1, 3, 6, 5)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4, momentum=0.3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


@pytest.fixture
def network() -> TorchNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TorchNetwork.of(Normalised(), "normalised", SHAPE)


@pytest.fixture
def inputs() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((18, *SHAPE[1:])).astype(np.float32) * 2 + 1


def as_onnx(network: TorchNetwork, path: Path) -> OnnxNetwork:
    """The same network with its BatchNormalization as a node of its own."""
    state = {name: t.numpy() for name, t in network.module.state_dict().items()}
    names = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"]
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["c"], "conv", pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c", *names], ["n"], "bn"),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], "fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2))],
        [numpy_helper.from_array(a, n) for n, a in state.items() if a.dtype == np.float32],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return OnnxNetwork.load(path)


def test_statistics_are_plain_averages_and_nothing_else_changes(
    network: TorchNetwork, inputs: np.ndarray
) -> None:
    before = {name: t.clone() for name, t in network.module.state_dict().items()}
    changed = with_statistics(network, inputs)
    assert isinstance(changed, TorchNetwork)
    state = changed.module.state_dict()
    for name, tensor in before.items():
        assert torch.equal(tensor, network.module.state_dict()[name])
        assert torch.equal(tensor, state[name]) is not name.endswith(STATISTICS), name
    # two batches of eight: an incomplete third would count as much as these
    parts = [network.module.conv(torch.from_numpy(inputs[i : i + 8])) for i in (0, 8)]
    means = torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0)
    variances = torch.stack([part.var((0, 2, 3)) for part in parts]).mean(0)
    torch.testing.assert_close(state["bn.running_mean"], means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state["bn.running_var"], variances, rtol=1e-4, atol=1e-5)
    assert not any(part.training for part in changed.module.modules())
    assert changed.module.bn.momentum == 0.3
    again = with_statistics(network, inputs)
    assert again.sha256 == changed.sha256


def test_onnx_graphs_get_them_into_their_own_nodes(
    network: TorchNetwork, inputs: np.ndarray, tmp_path: Path
) -> None:
    graph = as_onnx(network, tmp_path / "net.onnx")
    changed = with_statistics(graph, inputs)
    assert isinstance(changed, OnnxNetwork)
    wanted = only(with_statistics(network, inputs).outputs(inputs))
    assert relative_error(only(graph.outputs(inputs)), wanted) > 0.1
    assert relative_error(wanted, only(changed.outputs(inputs))) < 1e-5
    assert changed.model.graph.node == graph.model.graph.node
    kept = {t.name: t for t in graph.model.graph.initializer if not t.name.endswith(STATISTICS)}
    assert all(t == kept[t.name] for t in changed.model.graph.initializer if t.name in kept)


def test_few_pictures_and_a_fixed_batch(network: TorchNetwork, inputs: np.ndarray) -> None:
    one = with_statistics(network, inputs[:1])
    mean = network.module.conv(torch.from_numpy(inputs[:1])).mean((0, 2, 3))
    torch.testing.assert_close(one.module.bn.running_mean, mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_without_batch_normalisation_it_is_refused(
    network: TorchNetwork, inputs: np.ndarray, tmp_path: Path, form: str
) -> None:
    if form == "torch":
        plain = TorchNetwork.of(nn.Conv2d(3, 4, 3), "plain", SHAPE)
        refused = pytest.raises(UsageError, match="no batch normalisation")
        with refused:
            with_statistics(plain, inputs)
        return
    folded = OnnxNetwork.load(network.to_onnx(tmp_path / "folded.onnx"))
    with pytest.raises(UsageError, match="fold it into the convolution"):
        with_statistics(folded, inputs)


class Plain(nn.Module):
    """Normalisation is folded away; what a rank of one leaves is far from it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x))).mean((2, 3))


@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_channels_have_mean_and_deviation_of_the_original(tmp_path: Path, form: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: Network = TorchNetwork.of(Plain(), "plain", SHAPE)
    if form == "onnx":
        network = OnnxNetwork.load(network.to_onnx(tmp_path / "plain.onnx"))
    name = network.layers[0].name
    compressed = Assembly(network).network_with({name: Decomposition("channel_svd", (1,))})
    rows = np.random.default_rng(0).standard_normal((200, *SHAPE[1:])).astype(np.float32)
    fitted = with_channels(compressed, Rows(rows))
    assert fitted.framework == form
    drawn = rows[np.random.default_rng(0).integers(len(rows), size=128)]
    wanted, before, after = (only(n.outputs(drawn)) for n in (network, compressed, fitted))
    assert relative_error(wanted, after) < 0.8 * relative_error(wanted, before)
    np.testing.assert_allclose(after.mean(0), wanted.mean(0), rtol=1e-3, atol=1e-4)
    assert with_channels(compressed, Rows(rows)).sha256 == fitted.sha256


MODEL = "net_with_bn:make"
SOURCE = """
import torch
from torch import nn

input_shape = (1, 3, 16, 16)

def make():
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )
"""


@pytest.fixture
def plan(rankwise: Callable[..., Result], pictures: Path, tmp_path: Path) -> Path:
    """Of MODEL, which replaces a layer."""
    (tmp_path / "net_with_bn.py").write_text(SOURCE)
    place = tmp_path / "plan.json"
    calibration = ["--calibration", pictures, "--preprocess", "unit"]
    words = ["plan", MODEL, "--backend", "fake:step=16", "--max-error", 0.9, "--trials", 0]
    assert rankwise("profile", MODEL, "--backend", "fake:step=16").exit_code == 0
    result = rankwise(*words, *calibration, "--no-refine", "-o", place)
    assert result.exit_code == 0, result.output
    layers = json.loads(place.read_text())["layers"]
    assert any(layer["decomposition"]["kind"] != "original" for layer in layers)
    return place


@pytest.mark.parametrize(
    ("option", "changed"),
    [("--reestimate-bn", STATISTICS), ("--match-channels", ("weight", "bias"))],
)
def test_apply_does_it_on_request(
    rankwise: Callable[..., Result],
    plan: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    changed: tuple[str, ...],
) -> None:
    """Where it is better, which a network with made-up statistics cannot be."""
    plain, fitted = tmp_path / "plain.safetensors", tmp_path / "fitted.safetensors"
    assert rankwise("apply", plan, MODEL, "-o", plain).exit_code == 0
    refused = rankwise("apply", plan, MODEL, "-o", fitted, option)
    assert refused.exit_code == 2
    assert "--calibration" in refused.stderr
    assert not fitted.exists()
    errors = iter((0.5, 0.4))
    told = SimpleNamespace(of=lambda *_: SimpleNamespace(value=next(errors)))
    monkeypatch.setattr("rankwise.factors.output_statistics.NetworkError", told)
    result = rankwise("apply", plan, MODEL, "-o", fitted, option, "--data", pictures)
    assert result.exit_code == 0, result.output
    assert "network error on the select split 0.5000 -> 0.4000" in result.output
    before, after = load_file(plain), load_file(fitted)
    assert before.keys() == after.keys()
    found = {name for name in before if not torch.equal(before[name], after[name])}
    assert found, result.output
    assert all(name.endswith(changed) for name in found), result.output
    if option == "--reestimate-bn":
        assert found == {name for name in before if name.endswith(STATISTICS)}


def test_what_makes_it_worse_is_left_out(
    rankwise: Callable[..., Result],
    plan: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def worse(network: TorchNetwork, _pictures: object) -> TorchNetwork:
        changed = copy.deepcopy(network.module)
        with torch.no_grad():
            changed[-1].bias.add_(100)
        return TorchNetwork(changed, network.source, network.input_shape)

    monkeypatch.setattr("rankwise.factors.output_statistics._matched", worse)
    plain, fitted = tmp_path / "plain.safetensors", tmp_path / "fitted.safetensors"
    assert rankwise("apply", plan, MODEL, "-o", plain).exit_code == 0
    words = ["--match-channels", "--data", pictures]
    result = rankwise("apply", plan, MODEL, "-o", fitted, *words)
    assert result.exit_code == 0
    assert "makes it worse and was left out" in result.output
    before, after = load_file(plain), load_file(fitted)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_apply_does_one_of_them(
    rankwise: Callable[..., Result], plan: Path, pictures: Path, tmp_path: Path
) -> None:
    both = ["--reestimate-bn", "--match-channels", "--data", pictures]
    result = rankwise("apply", plan, MODEL, "-o", tmp_path / "x.onnx", *both)
    assert result.exit_code == 2
    assert "not both" in result.stderr
