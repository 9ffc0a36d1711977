"""Networks that ask their layers for what they are, or use their weights beside calling them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rankwise.lowrank import factorizer, full_ranks, lower
from rankwise.models.network import only
from rankwise.models.source import network_of_module
from rankwise.models.torch_network import TorchNetwork
from rankwise.records import Decomposition


class Asking(nn.Module):
    """Asks its convolution and its linear layer for all that others ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.linear = nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x.to(self.conv.weight.dtype)) * self.conv.weight.shape[1]
        x = x.reshape(len(x), self.conv.out_channels, -1) / self.conv.in_channels
        x = x * self.conv.stride[0] * self.conv.kernel_size[1]
        if self.conv.bias is None and self.linear.bias is not None:
            x = self.linear(x.transpose(1, 2)).to(self.linear.weight.device)
        return x.reshape(len(x), -1, self.linear.out_features) * self.linear.in_features


class Using(nn.Module):
    """Uses its layers' parameters: one's weight, one's bias; the third is tied to an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) + F.linear(x, self.first.weight)
        x = self.second(x) + self.second.bias
        return self.head(x + self.embedding(torch.zeros(len(x), dtype=torch.long)))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


def with_ranks(network: TorchNetwork, name: str, share: float) -> TorchNetwork:
    """The network with a layer replaced by channel_svd or svd at that share of full rank."""
    spec = next(use.spec for use in network.layers if use.name == name)
    assert spec is not None
    kind = "channel_svd" if spec.op == "conv2d" else "svd"
    ranks = tuple(max(1, int(share * full)) for full in full_ranks(spec, kind))
    made = factorizer(spec, kind, *network.weights(name)).at(ranks)
    return network.replaced({name: (lower(spec, Decomposition(kind, ranks)), made)})


def network_of(module: nn.Module, shape: tuple[int, ...]) -> TorchNetwork:
    network = network_of_module(module.eval(), shape)
    assert isinstance(network, TorchNetwork)
    return network


@pytest.mark.parametrize("name", ["conv", "linear"])
def test_a_replaced_layer_answers_as_the_original_did(name: str) -> None:
    network = network_of(Asking(), (2, 3, 6, 6))
    inputs = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
    exact, reduced = with_ranks(network, name, 1.0), with_ranks(network, name, 0.3)
    before = only(network.outputs(inputs))
    np.testing.assert_allclose(only(exact.outputs(inputs)), before, rtol=1e-4, atol=1e-4)
    assert not np.allclose(only(reduced.outputs(inputs)), before, rtol=1e-2)
    replaced = exact.module.get_submodule(name)
    original = network.module.get_submodule(name)
    assert replaced.weight.shape == original.weight.shape
    assert torch.isnan(replaced.weight).all()
    assert "weight" not in replaced.state_dict()


def test_layers_whose_weights_are_used_elsewhere_stay() -> None:
    network = network_of(Using(), (2, 4))
    reasons = {use.name: use.reason for use in network.layers}
    elsewhere = "its weight or bias is used beside calling it"
    assert reasons == {"first": elsewhere, "second": elsewhere, "head": ""}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("name", ["encoder.layers.0.linear1", "encoder.layers.1.linear2"])
def test_transformer_layers_call_what_is_replaced(name: str) -> None:
    """Torch's fast path reads their weights without calling them."""
    network = network_of(Encoder(), (2, 5, 8))
    inputs = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    before = only(network.outputs(inputs))
    exact, reduced = with_ranks(network, name, 1.0), with_ranks(network, name, 0.2)
    np.testing.assert_allclose(only(exact.outputs(inputs)), before, atol=1e-5)
    difference = np.abs(only(reduced.outputs(inputs)) - before).max()
    assert np.isfinite(difference)
    assert difference > 1e-3


def test_lazy_layers_draw_the_same_weights_everywhere() -> None:
    hashes = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.LazyConv2d(5, 3))
        network = network_of(module, (2, 3, 8, 8))
        assert [use.reason for use in network.layers] == ["", ""]
        hashes.add(network.sha256)
    assert len(hashes) == 1


class Product(torch.autograd.Function):
    """The user's own product."""

    @staticmethod
    def forward(_ctx: object, x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight.T


class WithALayer(nn.Module):
    def __init__(self, answer: Callable[[nn.Linear, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.answer = nn.Linear(4, 4), answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.layer, x)


USES: dict[str, Callable[[nn.Linear, Tensor], Tensor]] = {
    "its data": lambda layer, x: layer(x) + x @ layer.weight.data,
    "turned": lambda layer, x: layer(x) + x @ layer.weight.T,
    "a part": lambda layer, x: layer(x) + layer.weight[0],
    "a function of the user's": lambda layer, x: layer(x) + Product.apply(x, layer.weight),
    "in a list": lambda layer, x: layer(x) + torch.cat([layer.weight, x])[: len(x)],
    "as numbers": lambda layer, x: layer(x) * float(layer.weight.detach().numpy().std()),
}
ASKED: dict[str, Callable[[nn.Linear, Tensor], Tensor]] = {
    "its size": lambda layer, x: layer(x) * layer.weight.size(1) * layer.weight.numel(),
    "its length": lambda layer, x: layer(x) * len(layer.weight) * layer.weight.dim(),
    "its type": lambda layer, x: layer(x.type_as(layer.weight).to(layer.weight)),
    "others like it": lambda layer, x: layer(x) + layer.weight.new_ones(4),
    "zeros like it": lambda layer, x: layer(x) + torch.zeros_like(layer.weight)[0],
}


@pytest.mark.parametrize("answer", USES.values(), ids=USES)
def test_every_way_to_use_a_weight_is_seen(answer: Callable[[nn.Linear, Tensor], Tensor]) -> None:
    (use,) = network_of(WithALayer(answer), (2, 4)).layers
    assert use.reason == "its weight or bias is used beside calling it"


@pytest.mark.parametrize("answer", ASKED.values(), ids=ASKED)
def test_a_weight_that_is_asked_for_its_shape_is_not_used(
    answer: Callable[[nn.Linear, Tensor], Tensor],
) -> None:
    network = network_of(WithALayer(answer), (2, 4))
    inputs = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    exact = only(with_ranks(network, "layer", 1.0).outputs(inputs))
    np.testing.assert_allclose(exact, only(network.outputs(inputs)), rtol=1e-4, atol=1e-4)


def patched(make: Callable[[nn.Module], tuple[str, Any]]) -> nn.Module:
    """A network in whose convolution somebody has put code of their own."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3))
    name, code = make(module[0])
    setattr(module[0], name, code)
    return module


PATCHES: dict[str, Callable[[nn.Module], tuple[str, Any]]] = {
    "its forward": lambda one: ("forward", lambda x: 2 * type(one).forward(one, x)),
    "a part of it": lambda _one: ("_conv_forward", lambda x, w, b: F.conv2d(x, 2 * w, b)),
}


@pytest.mark.parametrize("make", PATCHES.values(), ids=PATCHES)
def test_a_layer_into_which_somebody_put_code_stays(make: Any) -> None:
    module = patched(make)
    (use,) = network_of(module, (1, 3, 8, 8)).layers
    assert re.search("own way|other code", use.reason)
    plain_conv = nn.Sequential(nn.Conv2d(3, 4, 3))
    plain_conv.load_state_dict(module.state_dict())
    hashes = {network_of(one, (1, 3, 8, 8)).sha256 for one in (module, plain_conv)}
    assert len(hashes) == 2


class Calling(nn.Linear):
    def __call__(self, *args: Any) -> Any:
        return 2 * super().__call__(*args)


def test_a_class_that_is_called_otherwise_computes_in_its_own_way() -> None:
    (use,) = network_of(nn.Sequential(Calling(4, 4)), (2, 4)).layers
    assert use.reason == "Calling computes in its own way"


def test_moments_are_of_what_the_layer_computes_not_of_its_hooks() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False))
    inputs = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    wanted = {"0": ["outputs"]}
    found = [network_of(module, (2, 4)).moments(inputs, wanted)]
    module[0].register_forward_hook(lambda _layer, _given, output: 3 * output + 1)
    found.append(network_of(module, (2, 4)).moments(inputs, wanted))
    np.testing.assert_allclose(found[1]["0", "outputs"].mean, found[0]["0", "outputs"].mean)
