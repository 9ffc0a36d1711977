"""Applied to the module and exported, or exported and applied to the file: the same network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file
from torch import Tensor, nn

from rankwise.factors.assembly import Assembly
from rankwise.models.fidelity import relative_error
from rankwise.models.network import Network, only
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.torch_network import TorchNetwork
from rankwise.records import Decomposition, LayerSpec

SHAPE = (2, 3, 12, 10)


class Residual(nn.Module):
    """In-place activations on both sides of the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, padding=1)
        self.first = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(inplace=True))
        self.second = nn.Conv2d(24, 24, 1)
        self.fc = nn.Linear(24, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.stem(x))
        y = self.second(self.first(x))
        y += x
        return self.fc(y.relu_().mean((2, 3)))


class Branches(nn.Module):
    """Branches that are concatenated, one of them strided in front of an upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 20, 3, padding=1)
        self.right = nn.Conv2d(3, 20, 5, padding=2, stride=2)
        self.join = nn.Conv2d(40, 24, 1)
        self.fc = nn.Linear(24, 12)

    def forward(self, x: Tensor) -> Tensor:
        right = nn.functional.interpolate(torch.relu(self.right(x)), scale_factor=2.0)
        joined = torch.cat([torch.relu(self.left(x)), right], dim=1)
        return self.fc(torch.relu(self.join(joined)).mean((2, 3)))


class Shared(nn.Module):
    """One convolution and one linear layer, each used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, padding=1)
        self.conv = nn.Conv2d(24, 24, 3, padding=1)
        self.fc = nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.conv(torch.relu(self.conv(x)))).mean((2, 3))
        return self.fc(torch.relu(self.fc(x)))


class Tokens(nn.Module):
    """Linear layers over positions, as transformers have them."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 24, 2, stride=2)
        self.norm = nn.LayerNorm(24)
        self.up, self.down = nn.Linear(24, 48), nn.Linear(48, 24)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.down(nn.functional.gelu(self.up(self.norm(tokens))))
        return tokens.mean(1)


class Sorts(nn.Module):
    """Convolutions of one, two and three axes, a transposed one, and one that pads with what it
    is given."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, padding=1, padding_mode="reflect")
        self.up = nn.ConvTranspose2d(24, 24, 3, 2, 1, output_padding=1)
        self.frames = nn.Conv3d(24, 24, (2, 3, 3), padding=(0, 1, 1))
        self.rows = nn.Conv1d(24, 24, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.up(torch.relu(self.stem(x))))
        x = self.frames(torch.stack([x, x.flip(3)], dim=2)).squeeze(2)
        return self.rows(torch.relu(x).mean(3))


class Normalised(nn.Module):
    """Exporters fold the batch normalisation into weights, which here have rank 6 before and
    after, so that both ways of cutting at rank 6 lose nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, padding=1, bias=False)
        self.conv, self.bn = nn.Conv2d(24, 24, 1, bias=False), nn.BatchNorm2d(24)
        self.fc = nn.Linear(24, 12)
        with torch.no_grad():
            self.conv.weight.copy_((torch.randn(24, 6) @ torch.randn(6, 24))[..., None, None])
            self.bn.running_mean.uniform_(-1, 1)
            self.bn.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.bn(self.conv(self.stem(x)))).mean((2, 3)))


def network_of(kind: type[nn.Module]) -> TorchNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TorchNetwork.of(kind(), kind.__name__, SHAPE)


def chosen(spec: LayerSpec) -> Decomposition:
    """A decomposition that loses something, by the layer's shape: names differ between forms."""
    if spec.op == "linear" or spec.kernel_size == (1, 1):
        return Decomposition("svd", (6,))
    if spec.in_channels == 3:
        return Decomposition("channel_svd", (9,))
    return Decomposition("spatial_svd" if spec.kernel_size == (3, 3) else "channel_svd", (12,))


def applied(network: Network) -> Network:
    decisions = {use.name: chosen(use.spec) for use in network.layers if use.spec}
    return Assembly(network).network_with(decisions)


@pytest.fixture
def inputs() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, *SHAPE[1:])).astype(np.float32)


@pytest.mark.parametrize("kind", [Residual, Branches, Shared, Tokens, Sorts, Normalised])
def test_apply_and_export_commute(
    kind: type[nn.Module], inputs: np.ndarray, tmp_path: Path
) -> None:
    network = network_of(kind)
    exported = OnnxNetwork.load(network.to_onnx(tmp_path / "whole.onnx"))
    small = applied(network)
    there = OnnxNetwork.load(small.save(tmp_path / "applied.onnx"))
    back = OnnxNetwork.load(applied(exported).save(tmp_path / "small.onnx"))
    outputs = only(small.outputs(inputs))
    assert relative_error(only(network.outputs(inputs)), only(exported.outputs(inputs))) < 1e-4
    if kind is not Normalised:
        assert relative_error(only(network.outputs(inputs)), outputs) > 0.02  # the choices do cut
    assert relative_error(outputs, only(there.outputs(inputs))) < 1e-3
    assert relative_error(outputs, only(back.outputs(inputs))) < 1e-3
    assert len(there.layers) == len(back.layers) > len(exported.layers)


def export_dynamic(module: nn.Module, path: Path) -> Path:
    torch.onnx.export(
        module,
        (torch.zeros(SHAPE),),
        str(path),
        input_names=["input"],
        dynamic_shapes={"x": {0: torch.export.Dim("N")}},
        dynamo=True,
        verbose=False,
    )
    return path


@pytest.mark.parametrize("kind", [Residual, Branches, Tokens])
def test_an_open_batch_stays_open(
    kind: type[nn.Module], inputs: np.ndarray, tmp_path: Path
) -> None:
    module = network_of(kind).module
    network = OnnxNetwork.load(export_dynamic(module, tmp_path / "whole.onnx"))
    path = applied(network).save(tmp_path / "small.onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "N"
    assert model.opset_import == network.model.opset_import
    assert model.metadata_props == network.model.metadata_props
    names = [value.name for value in (*model.graph.input, *model.graph.output)]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = only(applied(network_of(kind)).outputs(inputs))
    for count in (1, 5):
        (found,) = session.run([names[-1]], {names[0]: inputs[:count]})
        assert relative_error(expected[:count], found) < 1e-3


def test_an_initializer_that_two_nodes_read(inputs: np.ndarray, tmp_path: Path) -> None:
    network = OnnxNetwork.load(network_of(Shared).to_onnx(tmp_path / "whole.onnx"))
    readers: dict[str, list[str]] = {}
    weights = {t.name for t in network.model.graph.initializer if len(t.dims) > 1}
    for node in network.model.graph.node:
        for name in weights.intersection(node.input):
            readers.setdefault(name, []).append(node.name)
    (name, (first, second)) = max(readers.items(), key=lambda pair: len(pair[1]))
    spec = {use.name: use.spec for use in network.layers}[first]
    assert spec is not None

    def initializers(of: Network) -> set[str]:
        assert isinstance(of, OnnxNetwork)
        return {tensor.name for tensor in of.model.graph.initializer}

    one = Assembly(network).network_with({first: chosen(spec)})
    both = Assembly(network).network_with({first: chosen(spec), second: chosen(spec)})
    assert name in initializers(one)
    assert name not in initializers(both)
    assert second in {use.name for use in one.layers}
    errors = [
        relative_error(only(network.outputs(inputs)), only(each.outputs(inputs)))
        for each in (one, both)
    ]
    assert 0 < errors[0] < 0.8
    assert 0 < errors[1] < 0.8
    stored = {t.name: numpy_helper.to_array(t) for t in network.model.graph.initializer}
    assert np.array_equal(stored[name], network_weight(one, name))


def network_weight(network: Network, name: str) -> np.ndarray:
    assert isinstance(network, OnnxNetwork)
    return next(numpy_helper.to_array(t) for t in network.model.graph.initializer if t.name == name)


def test_hooks_of_replaced_and_shared_layers_survive(inputs: np.ndarray) -> None:
    seen: list[str] = []
    module = Shared().eval()
    module.conv.register_forward_hook(lambda *_: seen.append("conv"))
    module.fc.register_forward_pre_hook(lambda *_: seen.append("fc"))
    small = applied(TorchNetwork.of(module, "shared", SHAPE))
    seen.clear()
    only(small.outputs(inputs[:2]))
    assert seen == ["conv", "conv", "fc", "fc"]
    assert isinstance(module.conv, nn.Conv2d)  # the given module stays as it is


@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_pt2_computes_what_was_applied(form: str, inputs: np.ndarray, tmp_path: Path) -> None:
    network: Network = network_of(Residual)
    if form == "onnx":
        network = OnnxNetwork.load(network.to_onnx(tmp_path / "whole.onnx"))
    small = applied(network)
    program = torch.export.load(small.save(tmp_path / "small.pt2"))  # written a line ago
    with torch.no_grad():
        found = program.module()(torch.from_numpy(inputs[:2]))
    assert relative_error(only(small.outputs(inputs[:2])), found.numpy()) < 1e-4


def test_safetensors_hold_the_chains(inputs: np.ndarray, tmp_path: Path) -> None:
    small = applied(network_of(Shared))
    assert isinstance(small, TorchNetwork)
    state = load_file(small.save(tmp_path / "small.safetensors"))
    assert {"conv.0.weight", "conv.1.weight", "fc.0.weight", "fc.1.weight"} <= state.keys()
    other = applied(network_of(Shared))
    assert isinstance(other, TorchNetwork)
    for parameter in other.module.parameters():
        parameter.data.zero_()
    other.module.load_state_dict(state)
    assert np.array_equal(only(other.outputs(inputs)), only(small.outputs(inputs)))
