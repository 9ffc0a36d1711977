"""What rounding layers costs, against networks in which one layer is rounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rankwise.factors.assembly import Assembly
from rankwise.factors.cotangents import Cotangents
from rankwise.factors.rounding import RoundedLayer, by_channel, rounded, rounding_contributions
from rankwise.models.compared import Compared
from rankwise.models.network_error import NetworkError
from rankwise.models.torch_network import TorchNetwork
from rankwise.records import LayerSpec

ALL = 10_000
"""More directions than any output here has values: nothing is left to chance."""


def test_values_lie_on_steps_over_their_range() -> None:
    values = torch.tensor([0.0, 0.26, 0.5, 1.0]) * 255
    assert rounded(values).tolist() == pytest.approx([0, 66, 128, 255], abs=0.5)
    spread = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    steps = torch.unique(rounded(spread))
    assert len(steps) <= 256
    assert (rounded(spread) - spread).abs().max() <= (spread.max() - spread.min()) / 255
    assert not rounded(torch.zeros(3)).any()


def test_each_output_channel_of_a_weight_has_steps_of_its_own() -> None:
    weight = np.float32([[1.0, 0.333], [100.0, 0.5], [0.0, 0.0]])
    made = by_channel(weight)
    assert made[0, 1] == pytest.approx(0.333, abs=0.5 / 127)
    assert made[1, 1] == pytest.approx(0.5, abs=50 / 127)
    assert not made[2].any()


def test_contributions_are_those_of_networks_with_one_layer_rounded() -> None:
    """Of a linear network, of which the first order is the whole of it."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 1)).eval()
    inputs = np.random.default_rng(0).standard_normal((3, 3, 5, 6)).astype(np.float32)
    network = TorchNetwork(module, "test", (1, 3, 5, 6))
    assembly, wanted = Assembly(network), network.outputs(inputs)
    compared = Compared.whole(wanted)
    cotangents = Cotangents.of(compared, wanted, ALL, seed=0)
    found = rounding_contributions(
        assembly, network.differentiable(), inputs, ["0", "1"], cotangents
    )
    assert list(found) == ["0", "1"]
    for place, name in enumerate(found):
        layer = RoundedLayer(assembly.spec(name), network.weights(name))
        parts = [layer if place == at else part for at, part in enumerate(module)]
        with torch.no_grad():  # one by one, as a batch of one is rounded over its own range
            outputs = [nn.Sequential(*parts)(torch.from_numpy(one[None])) for one in inputs]
        (output,) = wanted
        other = {output: torch.cat(outputs).numpy()}
        error = NetworkError.of(compared, wanted, other).value
        assert found[name] == pytest.approx(error**2, rel=0.02)
        assert 1e-4 < error < 0.1


def test_a_layer_without_bias_and_a_matrix() -> None:
    spec = LayerSpec("linear", 6, 4, (6,), bias=False)
    weight = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    values = torch.randn(2, 6)
    with torch.no_grad():
        found = RoundedLayer(spec, (weight, None))(values)
    wanted = values @ torch.from_numpy(weight).T
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
