"""Parameters that are used in functional calls are layers like any others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

import rankwise as rw
from rankwise.errors import ModelError
from rankwise.lowrank import applicable_kinds, factorizer, full_ranks, lower
from rankwise.models.network import only
from rankwise.models.source import network_of_module
from rankwise.models.torch_network import TorchNetwork
from rankwise.records import Decomposition, LayerSpec

SHAPE = (2, 3, 8, 8)


class Block(nn.Module):
    """(n, 3, 8, 8) -> (n, 5): a convolution, a linear layer, and two products."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(8, 3, 3, 3) / 3)
        self.shift = nn.Parameter(torch.randn(8))
        self.weight, self.bias = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(6))
        self.first, self.second = nn.Parameter(torch.randn(6, 7)), nn.Parameter(torch.randn(7, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel, self.shift, stride=2, padding=(1, 1)).relu()
        x = F.linear(x.mean(dim=(2, 3)), weight=self.weight, bias=self.bias)
        return torch.matmul(x @ self.first, self.second)


class Products(nn.Module):
    """(n, 3, 8, 8) -> (n, 8, 5): sums over one axis and two, a turned matrix, transposed and
    one-dimensional convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(8, 2, 4))
        self.heads, self.turned = (
            nn.Parameter(torch.randn(6, 2, 4)),
            nn.Parameter(torch.randn(6, 6)),
        )
        self.spread = nn.Parameter(torch.randn(3, 3, 2, 2))
        self.along = nn.Parameter(torch.randn(8, 24, 3))
        self.last = nn.Parameter(torch.randn(5, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv_transpose2d(x, self.spread, stride=2).flatten(1, 2)[:, :24]
        x = F.conv1d(x, self.along, stride=2, padding=self.along.shape[-1] // 2)
        x = torch.einsum("bti,ihd->bthd", x, self.queries).relu()
        x = torch.einsum("bthd,ohd->bto", x, self.heads)
        return torch.einsum("...i,oi->...o", x @ self.turned.T, self.last)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(x))


class Otherwise(nn.Module):
    """Weights that are used in other ways, too, or not always with the same settings."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.scaled = (nn.Parameter(torch.randn(3, 3)) for _ in range(2))
        self.twice = nn.Parameter(torch.randn(3, 3, 3, 3))
        self.base = nn.Parameter(torch.randn(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.twice) + F.conv2d(x, self.twice, padding=1)[..., 1:-1, 1:-1]
        x = (self.left @ x.mean(dim=(2, 3)).T).T
        return F.linear(F.linear(x, self.scaled), self.base) * self.scaled.mean()


def network_of(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> TorchNetwork:
    network = network_of_module(module.eval(), shape)
    assert isinstance(network, TorchNetwork)
    return network


@pytest.fixture
def network() -> TorchNetwork:
    torch.manual_seed(0)
    return network_of(Network())


@pytest.fixture
def inputs() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def with_share(network: TorchNetwork, share: float, *names: str) -> TorchNetwork:
    """The named layers (all, if none is) at that share of full rank."""
    made = {}
    for use in network.layers:
        assert use.spec is not None
        if names and use.name not in names:
            continue
        kind = applicable_kinds(use.spec)[0][0]
        ranks = tuple(max(1, int(share * full)) for full in full_ranks(use.spec, kind))
        links = factorizer(use.spec, kind, *network.weights(use.name)).at(ranks)
        made[use.name] = lower(use.spec, Decomposition(kind, ranks)), links
    return network.replaced(made)


def test_their_specs_are_those_of_layers(network):
    specs = {use.name: use.spec for use in network.layers}
    assert specs == {
        "block.kernel": LayerSpec("conv2d", 3, 8, (3, 8, 8), (3, 3), (2, 2), (1,) * 4),
        "block.weight": LayerSpec("linear", 8, 6, (8,)),
        "block.first": LayerSpec("linear", 6, 7, (6,), bias=False),
        "block.second": LayerSpec("linear", 7, 5, (7,), bias=False),
        "head": LayerSpec("linear", 5, 4, (5,)),
    }
    counts = network.accounts
    assert counts.total == sum(p.numel() for p in network.module.parameters())
    assert not counts.others


@pytest.mark.parametrize("name", ["kernel", "weight", "first", "second"])
def test_each_is_replaced(network, inputs, name):
    before = only(network.outputs(inputs))
    exact = with_share(network, 1.0, f"block.{name}")
    np.testing.assert_allclose(only(exact.outputs(inputs)), before, rtol=1e-3, atol=1e-4)
    small = with_share(network, 0.3, f"block.{name}")
    assert not np.allclose(only(small.outputs(inputs)), before, rtol=1e-2)
    left = dict(small.module.named_parameters())
    assert f"block.{name}" not in left
    assert f"block.{name}.0.weight" in left
    others = {"kernel", "weight", "first", "second"} - {name}
    assert all(f"block.{other}" in left for other in others)


class One(nn.Module):
    """A weight and a bias in one functional call."""

    def __init__(self, function: Callable[..., Tensor], *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.randn(6))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight, self.bias)


CALLS: dict[str, tuple[Callable[..., Tensor], tuple[int, ...], tuple[int, ...], str]] = {
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, 2, 1), (6, 4, 3), (2, 4, 9), "conv1d"),
    "same": (lambda x, w, b: F.conv1d(x, w, b, padding="same"), (6, 4, 4), (2, 4, 9), "conv1d"),
    "conv3d": (lambda x, w, b: F.conv3d(x, w, b), (6, 4, 3, 3, 3), (2, 4, 5, 5, 5), "conv3d"),
    "spread1d": (
        lambda x, w, b: F.conv_transpose1d(x, w, b, 2, output_padding=1),
        *((4, 6, 3), (2, 4, 9), "conv_transpose1d"),
    ),
    "groups": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1, 2),
        *((4, 3, 3, 3), (2, 4, 5, 5), "conv_transpose2d"),
    ),
    "spread3d": (
        lambda x, w, b: F.conv_transpose3d(x, w, b),
        *((4, 6, 3, 3, 3), (2, 4, 3, 3, 3), "conv_transpose3d"),
    ),
    "T": (lambda x, w, b: x @ w.T + b, (6, 4), (2, 5, 4), "linear"),
    "t": (lambda x, w, _: torch.matmul(x, torch.t(w)), (6, 4), (2, 5, 4), "linear"),
    "mT": (lambda x, w, _: x.matmul(w.mT), (6, 4), (2, 5, 4), "linear"),
    "turned": (lambda x, w, b: F.linear(x, w.transpose(0, 1), b), (4, 6), (2, 5, 4), "linear"),
    "mm": (lambda x, w, _: x.mm(w.t()), (6, 4), (2, 4), "linear"),
    "addmm": (lambda x, w, b: torch.addmm(b, x, w), (4, 6), (2, 4), "linear"),
    "einsum": (lambda x, w, _: torch.einsum("...i,oi->...o", x, w), (6, 4), (2, 5, 4), "linear"),
    "first": (lambda x, w, _: torch.einsum("oi, bti -> bto", w, x), (6, 4), (2, 5, 4), "linear"),
    "shape": (
        lambda x, w, b: F.conv2d(x, w, b, padding=w.shape[-1] // w.size(2)),
        *((6, 4, 3, 3), (2, 4, 5, 5), "conv2d"),
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_functions_that_are_layers(call):
    function, weight, shape, op = CALLS[call]
    torch.manual_seed(0)
    network = network_of(One(function, *weight), shape)
    (use,) = network.layers
    assert (use.name, use.op, use.spec.in_channels, use.spec.out_channels) == ("weight", op, 4, 6)
    given = torch.randn(shape)
    with torch.no_grad():
        before, exact = network.module(given), with_share(network, 1.0).module(given)
    torch.testing.assert_close(exact, before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "weight", "shape"),
    [
        (lambda x, w, b: torch.addmm(b, x, w, alpha=2), (4, 6), (2, 4)),
        (lambda x, w, _: x @ w.T + x @ w, (4, 4), (2, 4)),
        (lambda x, w, _: torch.einsum("bi,oi->ob", x, w).T, (6, 4), (2, 4)),
        (lambda x, w, b: F.linear(x, w, 2 * b), (6, 4), (2, 4)),
        (lambda x, w, _: x @ w, (3, 4, 6), (2, 3, 5, 4)),
        (lambda x, w, _: torch.einsum("bhti,hio->bhto", x, w), (3, 4, 6), (2, 3, 5, 4)),
    ],
)
def test_functions_that_stay(function, weight, shape):
    network = network_of(One(function, *weight), shape)
    assert [(use.name, use.reason) for use in network.layers] == [
        ("weight", "used in a functional call")
    ]
    assert network.accounts.macs["weight"] > 0


def test_a_use_that_was_not_seen_is_refused():
    def function(x: Tensor, weight: Tensor, _: Tensor) -> Tensor:
        return x @ weight if len(x) == 3 else x @ weight.T

    small = with_share(network_of(One(function, 4, 4), (2, 4)), 1.0)
    with pytest.raises(ModelError, match="otherwise than when"):
        small.module(torch.randn(3, 4))


def test_moments_are_of_what_the_call_sees(network, inputs):
    found = network.moments(inputs, {"block.weight": ["patches", "outputs"], "head": ["outputs"]})
    block = network.module.block
    with torch.no_grad():
        seen = F.conv2d(torch.from_numpy(inputs), block.kernel, block.shift, 2, 1).relu()
        rows = seen.mean(dim=(2, 3))
        answers = F.linear(rows, block.weight, block.bias)
    np.testing.assert_allclose(
        found["block.weight", "patches"].mean, rows.mean(dim=0).numpy(), atol=1e-5
    )
    np.testing.assert_allclose(
        found["block.weight", "outputs"].mean, answers.mean(dim=0).numpy(), atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Network, Products])
def test_they_are_written_and_the_hash_stays(kind, inputs, tmp_path):
    torch.manual_seed(0)
    network = network_of(kind())
    before = network.sha256
    small = with_share(network, 0.5)
    wanted = only(small.outputs(inputs))
    session = onnxruntime.InferenceSession(small.save(tmp_path / "net.onnx"))
    (answer,) = session.run(None, {session.get_inputs()[0].name: inputs})
    np.testing.assert_allclose(answer, wanted, rtol=1e-3, atol=1e-4)
    program = torch.export.load(small.save(tmp_path / "net.pt2")).module()
    again = program(torch.from_numpy(inputs)).detach().numpy()
    np.testing.assert_allclose(again, wanted, rtol=1e-3, atol=1e-4)
    state = load_file(small.save(tmp_path / "net.safetensors"))
    assert state.keys() == small.module.state_dict().keys()
    loaded = rw.load(tmp_path / "net.safetensors", kind())(torch.from_numpy(inputs))
    np.testing.assert_allclose(loaded.detach().numpy(), wanted, rtol=1e-3, atol=1e-4)
    assert network.sha256 == before
    assert network_of(network.module).sha256 == before


def test_other_uses_are_listed_with_the_reason(inputs):
    network = network_of(Otherwise())
    reason = "used in a functional call"
    assert {use.name: use.reason for use in network.layers} == {
        "twice": reason,
        "left": reason,
        "scaled": reason,
        "base": "",
    }
    assert network.accounts.macs["twice"] == 81 * (6 * 6 + 8 * 8)
    before = only(network.outputs(inputs))
    exact = with_share_of(network, "base")
    np.testing.assert_allclose(only(exact.outputs(inputs)), before, rtol=1e-3, atol=1e-4)


def with_share_of(network: TorchNetwork, name: str) -> TorchNetwork:
    use = next(use for use in network.layers if use.name == name)
    assert use.spec is not None
    ranks = full_ranks(use.spec, "svd")
    links = factorizer(use.spec, "svd", *network.weights(name)).at(ranks)
    return network.replaced({name: (lower(use.spec, Decomposition("svd", ranks)), links)})


def test_a_replaced_layer_takes_gradients(network, inputs):
    small = with_share(network, 0.5)
    small.module(torch.from_numpy(inputs)).sum().backward()
    assert all(p.grad is not None for n, p in small.module.named_parameters() if ".0." in n)


def test_a_layer_with_a_forward_of_its_own_is_no_functional_call():
    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * F.linear(x, self.weight, self.bias)

    (use,) = network_of(nn.Sequential(Scaled(8, 4))).layers
    assert (use.name, use.spec, use.reason) == ("0", None, "Scaled computes in its own way")
