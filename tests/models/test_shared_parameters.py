"""Tied weights: those that others have, too, stay in the network when a layer is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rankwise.campaign.rows import use_costs
from rankwise.lowrank import factor, lower
from rankwise.models.source import load_network, network_of_module
from rankwise.models.torch_network import TorchNetwork
from rankwise.records import ORIGINAL, Decomposition, LayerUse


class Tied(nn.Module):
    """The head has the embedding's weight, two layers have one; the last has its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(8, 20)
        self.head.weight = self.embedding.weight
        self.one, self.two, self.own = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.two.weight = self.one.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.own(self.two(self.one(self.embedding(ids)).relu())))


@pytest.fixture(scope="module")
def network() -> TorchNetwork:
    found = network_of_module(Tied(), (torch.arange(10).reshape(2, 5),))
    assert isinstance(found, TorchNetwork)
    return found


def uses_of(network: TorchNetwork) -> dict[str, LayerUse]:
    return {use.name: use for use in network.layers}


def test_they_are_counted_and_said(network: TorchNetwork) -> None:
    shared = {name: use.shared for name, use in uses_of(network).items()}
    assert shared == {"one": 64, "two": 64, "own": 0, "head": 160}
    assert network.notes["head"] == (
        "160 of its parameters are another's, too, and stay when it is replaced"
    )


@pytest.mark.parametrize("name", ["one", "own", "head"])
def test_what_a_replacement_takes_away_is_foretold(network: TorchNetwork, name: str) -> None:
    use, made = uses_of(network)[name], Decomposition("svd", (2,))
    assert use.spec is not None
    factors = factor(use.spec, made, *network.weights(name))
    smaller = network.replaced({name: (lower(use.spec, made), factors)})
    before, after = (
        sum(one.numel() for one in each.module.parameters()) for each in (network, smaller)
    )
    (_, original), (_, replaced) = use_costs(use, ORIGINAL), use_costs(use, made)
    assert after - before == replaced - original


def test_of_a_file(network: TorchNetwork, tmp_path: Path) -> None:
    """The exporter writes a tied weight once, and turned round a second time or not."""
    found = load_network(network.save(tmp_path / "tied.onnx"))
    assert sorted(use.shared for use in found.layers)[0] == 0
    assert sum(use.shared for use in found.layers) >= 128
