"""What rounding layers costs, against networks in which one layer is rounded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rankwise.factors.assembly import Assembly
from rankwise.factors.cotangents import Cotangents
from rankwise.factors.rounding import RoundedChain, by_channel, rounded, rounding_contributions
from rankwise.lowrank import applicable_kinds, full_ranks, lower
from rankwise.models.compared import Compared
from rankwise.models.network_error import NetworkError
from rankwise.models.torch_network import TorchNetwork
from rankwise.ops.chain import Chain, LinkWeights, random_weights
from rankwise.records import ORIGINAL, Decomposition, LayerSpec

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
    weight = torch.tensor([[1.0, 0.333], [100.0, 0.5], [0.0, 0.0]])
    made = by_channel(weight)
    assert float(made[0, 1]) == pytest.approx(0.333, abs=0.5 / 127)
    assert float(made[1, 1]) == pytest.approx(0.5, abs=50 / 127)
    assert not made[2].any()


CHOICES = (ORIGINAL, Decomposition("tucker2", (2, 3)), Decomposition("spatial_svd", (4,)))


def test_contributions_are_those_of_networks_with_one_layer_rounded() -> None:
    """Of a linear network, of which the first order is the whole of it; the layer as it is, and
    chains in its place, against themselves in float."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3)).eval()
    inputs = np.random.default_rng(0).standard_normal((3, 3, 5, 6)).astype(np.float32)
    network = TorchNetwork(module, "test", (1, 3, 5, 6))
    assembly, wanted = Assembly(network), network.outputs(inputs)
    compared = Compared.whole(wanted)
    cotangents = Cotangents.of(compared, wanted, ALL, seed=0)
    candidates = {"0": CHOICES, "1": CHOICES}
    found = rounding_contributions(
        assembly, network.differentiable(), inputs, candidates, cotangents
    )
    assert list(found) == [(name, one) for name in candidates for one in CHOICES]
    (output,) = wanted
    for (name, choice), contribution in found.items():
        chain = chain_of(assembly, name, choice)

        def outputs(layer: Callable[[Tensor], Tensor], at: int = int(name)) -> np.ndarray:
            before, after = module[:at], module[at + 1 :]
            # one by one, as a batch of one is rounded over its own range
            with torch.no_grad():
                rows = [after(layer(before(torch.from_numpy(one[None])))) for one in inputs]
            return torch.cat(rows).numpy()

        change = outputs(chain.coarse) - outputs(chain.exact)
        other = {output: wanted[output] + change}
        error = NetworkError.of(compared, wanted, other).value
        assert contribution == pytest.approx(error**2, rel=0.02)
        assert 1e-4 < error < 0.1


def chain_of(assembly: Assembly, name: str, choice: Decomposition) -> RoundedChain:
    if choice.has_factors:
        return RoundedChain(*assembly.draft(name, choice))
    weight, bias = assembly.network.weights(name)
    return RoundedChain(Chain((assembly.spec(name),)), [LinkWeights(weight, bias)])


@pytest.mark.parametrize(
    "spec",
    [
        LayerSpec("linear", 6, 4, (6,), bias=False),
        LayerSpec("linear", 24, 20, (5, 24), bias=True),
        LayerSpec("conv1d", 8, 12, (8, 9), (3,), bias=True),
        LayerSpec("conv2d", 16, 16, (16, 7, 7), (3, 3), groups=4),
        LayerSpec("conv_transpose2d", 8, 6, (8, 5, 5), (3, 3)),
    ],
    ids=str,
)
def test_a_chain_in_eight_bits_is_near_itself_in_float(spec: LayerSpec) -> None:
    for kind in ("original", *applicable_kinds(spec)[0]):
        ranks = () if kind == "original" else full_ranks(spec, kind)
        chain = lower(spec, Decomposition(kind, ranks))
        made = RoundedChain(chain, random_weights(chain, 1))
        values = torch.randn(2, *spec.input_shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            exact, coarse = made.exact(values), made.coarse(values)
        assert 0 < torch.linalg.norm(coarse - exact) < 0.1 * torch.linalg.norm(exact)


def test_balanced_channels_lose_little_of_what_falls_fast() -> None:
    """A middle tensor whose channels' ranges fall by the thousand, and are raised behind it."""
    sizes = np.logspace(0, -3, 16, dtype=np.float32)
    first = second = LayerSpec("linear", 16, 16, (16,), bias=False)
    rng = np.random.default_rng(0)
    weights = [
        LinkWeights(rng.standard_normal((16, 16)).astype(np.float32) * sizes[:, None], None),
        LinkWeights(rng.standard_normal((16, 16)).astype(np.float32) / sizes, None),
    ]
    made = RoundedChain(Chain((first, second)), weights)
    values = torch.from_numpy(rng.standard_normal((50, 16)).astype(np.float32))
    with torch.no_grad():
        exact, coarse = made.exact(values), made.coarse(values)
    assert torch.linalg.norm(coarse - exact) < 0.1 * torch.linalg.norm(exact)
