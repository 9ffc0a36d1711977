"""Contributions of candidates from gradients, against networks in which they are replaced."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rankwise.errors import ModelError
from rankwise.factors import sensitivities
from rankwise.factors.assembly import Assembly
from rankwise.factors.cotangents import Cotangents
from rankwise.factors.layer_changes import bytes_held
from rankwise.factors.sensitivities import contributions, portions
from rankwise.lowrank import applicable_kinds, full_ranks, lower, rank_step
from rankwise.models.compared import Compared
from rankwise.models.torch_network import TorchNetwork
from rankwise.models.torch_outputs import compared_tensors
from rankwise.ops.chain import random_weights
from rankwise.records import Decomposition

ALL = 10_000
"""More directions than any output here has values: nothing is left to chance."""


class RandomFactors(Assembly):
    """Factors that have nothing to do with the layer, biases included."""

    def draft(self, name, decomposition):
        chain = lower(self.spec(name), decomposition)
        return chain, random_weights(chain, seed=len(name))


def outputs_of(module: nn.Module, inputs: np.ndarray) -> dict[str, np.ndarray]:
    with torch.no_grad():
        found = compared_tensors(module, torch.from_numpy(inputs))
    return {name: tensor.numpy() for name, tensor in found.items()}


class Case:
    """A module on inputs, of which all that can be decomposed has all its kinds as candidates."""

    def __init__(self, module: nn.Module, inputs: np.ndarray, batch: int = 1, made=RandomFactors):
        self.network = TorchNetwork(module.eval(), "test", (batch, *inputs.shape[1:]))
        self.assembly, self.inputs = made(self.network), inputs
        self.outputs = outputs_of(module, inputs)
        self.compared = Compared.whole(self.outputs)

    def candidates(self, share: float = 1.0):
        specs = {use.name: use.spec for use in self.network.layers if use.spec}
        return {
            name: [
                Decomposition(kind, tuple(_part(share, full, step) for full in ranks))
                for kind in applicable_kinds(spec)[0]
                for ranks, step in [(full_ranks(spec, kind), rank_step(spec, kind))]
            ]
            for name, spec in specs.items()
        }

    def modelled(self, candidates, count=ALL, seed=0):
        cotangents = Cotangents.of(self.compared, self.outputs, count, seed)
        network = self.network.differentiable()
        return contributions(self.assembly, network, self.inputs, candidates, cotangents)

    def measured(self, name, decomposition) -> float:
        """The squared network error of the network with that layer replaced."""
        replacement = {name: self.assembly.draft(name, decomposition)}
        after = outputs_of(self.network.replaced(replacement).module, self.inputs)
        errors = [
            np.sum((after[one].astype(float) - before) ** 2) / np.sum(before.astype(float) ** 2)
            for one, before in self.outputs.items()
        ]
        return float(np.mean(errors))


def _part(share: float, full: int, step: int) -> int:
    return max(step, int(share * full) // step * step)


class Affine(nn.Module):
    """Nothing in it bends, so that first-order contributions are exact."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.plain = nn.Conv2d(4, 6, 3, padding=1)
        self.odd = nn.Conv2d(6, 8, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2))
        self.grouped = nn.Conv2d(8, 8, 3, padding="same", groups=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.rows = nn.Linear(8, 6)
        self.twice = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.plain(x)
        x = self.norm(self.grouped(self.odd(x)))
        x = self.rows(x.flatten(2).transpose(1, 2))
        x = self.twice(x) + self.twice(x.flip(1))
        return 100 * self.head(x.mean(dim=1)), x[:, :2]


class AffineVolume(nn.Module):
    """The same of one and three axes, transposed, and padded with what the input holds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.volume = nn.Conv3d(3, 4, (2, 3, 2), padding=(0, 1, 1))
        self.frames = nn.Conv3d(4, 4, (1, 3, 3), padding=1, padding_mode="circular")
        self.sequence = nn.Conv1d(4, 6, 4, 2, 1)
        self.longer = nn.ConvTranspose1d(6, 4, 4, 2, 1, output_padding=1, bias=False)
        self.larger = nn.ConvTranspose2d(4, 5, (3, 2), (2, 1), (1, 0), dilation=(1, 2))
        self.whole = nn.ConvTranspose3d(5, 3, 2, 2)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.frames(self.volume(x))
        x = self.longer(self.sequence(x.flatten(2)))
        x = self.larger(x[:, :, :12].unflatten(2, (3, 4)))
        x = self.whole(x[:, :, None])
        return self.head(x.mean(dim=4).flatten(2).transpose(1, 2))


def inputs_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 2])
def test_contributions_to_an_affine_network_are_its_errors(batch):
    """All kinds, changes of biases, a layer that is used twice, two outputs of other sizes; the
    network's own batch of two leaves one of three places to fill."""
    case = Case(Affine(), inputs_of(3, 4, 7, 6), batch)
    candidates = case.candidates(share=0.5)
    found = case.modelled(candidates)
    assert len(found) == sum(map(len, candidates.values())) == 20
    assert {"svd", "channel_svd", "spatial_svd", "tucker2", "cp"} <= {d.kind for _, d in found}
    for (name, decomposition), value in found.items():
        expected = case.measured(name, decomposition)
        assert value == pytest.approx(expected, rel=2e-3), (name, decomposition)


def test_contributions_of_all_sorts_of_convolutions_are_their_errors():
    case = Case(AffineVolume(), inputs_of(2, 3, 3, 4, 3))
    candidates = case.candidates(share=0.5)
    found = case.modelled(candidates)
    assert len({name for name, _ in found}) == 7
    for (name, decomposition), value in found.items():
        expected = case.measured(name, decomposition)
        assert value == pytest.approx(expected, rel=3e-3), (name, decomposition)


def test_a_few_directions_give_the_error_on_average():
    case = Case(Affine(), inputs_of(3, 4, 7, 6))
    candidates = {"odd": case.candidates()["odd"][:1], "head": case.candidates()["head"]}
    exact = case.modelled(candidates)
    drawn = [case.modelled(candidates, count=2, seed=seed) for seed in range(100)]
    assert drawn[0] != drawn[1]
    assert drawn[0] == case.modelled(candidates, count=2, seed=0)
    for change, value in exact.items():
        assert np.mean([one[change] for one in drawn]) == pytest.approx(value, rel=0.2)


class NearlyExact(Assembly):
    """Factors at full rank, of which the last has a relative error of a thousandth."""

    def draft(self, name, decomposition):
        chain, links = super().replacement(name, decomposition)
        noise = np.random.default_rng(0).standard_normal(links[-1].weight.shape)
        moved = links[-1].weight * (1 + 1e-3 * noise.astype(np.float32))
        return chain, (*links[:-1], replace(links[-1], weight=moved))


class Bent(nn.Module):
    def __init__(self, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.head, self.in_place = nn.Linear(8, 4), in_place

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.first(x), inplace=self.in_place)
        y = self.second(x)
        if self.in_place:
            x += y  # what the second layer saw is gone
        else:
            x = x + y
        return self.head(x.mean(dim=(2, 3)))


def test_small_errors_of_a_bent_network_are_first_order():
    inputs = inputs_of(6, 8, 9, 9)
    case = Case(Bent(in_place=False), inputs, made=NearlyExact)
    found = case.modelled(case.candidates())
    for change, value in found.items():
        assert np.sqrt(value) == pytest.approx(np.sqrt(case.measured(*change)), rel=0.03)
    in_place = Case(Bent(in_place=True), inputs, made=NearlyExact)
    assert in_place.modelled(case.candidates()) == pytest.approx(found, rel=1e-3)


def test_what_does_not_fit_together_takes_several_passes(monkeypatch):
    case = Case(Affine(), inputs_of(2, 4, 7, 6))
    candidates = case.candidates()
    expected = case.modelled(candidates, count=3)
    assert len(list(portions(case.assembly, candidates, bytes_held))) == 1
    monkeypatch.setattr(sensitivities, "MAX_BYTES", 3000)
    parts = list(portions(case.assembly, candidates, bytes_held))
    assert len(parts) > 3
    assert [c for part in parts for c in part] == [
        (n, d) for n, of in candidates.items() for d in of
    ]
    assert case.modelled(candidates, count=3) == pytest.approx(expected, rel=1e-4)


def test_nothing_to_weigh_needs_no_pass():
    assert Case(Affine(), inputs_of(1, 4, 7, 6)).modelled({}) == {}


def test_a_network_that_cuts_gradients_off_is_refused():
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).detach()

    case = Case(Cut(), inputs_of(2, 5))
    with pytest.raises(ModelError, match="no gradient"):
        case.modelled(case.candidates(share=0.5))


MEMORY = """
import resource
import numpy as np, torch
from rankwise.factors.assembly import Assembly
from rankwise.factors.sensitivities import contributions
from rankwise.lowrank import lower
from rankwise.models.compared import Compared
from rankwise.factors.cotangents import Cotangents
from rankwise.models.torch_network import TorchNetwork
from rankwise.ops.chain import random_weights
from rankwise.records import Decomposition

class RandomFactors(Assembly):
    def draft(self, name, decomposition):
        chain = lower(self.spec(name), decomposition)
        return chain, random_weights(chain)

with torch.device("meta"):
    convolutions = [torch.nn.Conv2d(512, 512, 3, padding=1) for _ in range(8)]
    heads = [torch.nn.Flatten(), torch.nn.Linear(12800, 8192), torch.nn.Linear(8192, 10)]
module = torch.nn.Sequential(*convolutions, *heads).to_empty(device="cpu")
for weight in module.parameters():
    weight.data.fill_(1e-3)
network = TorchNetwork(module, "wide", (1, 512, 5, 5))
kinds = {"conv2d": "channel_svd", "linear": "svd"}
candidates = {use.name: [Decomposition(kinds[use.op], (8,))] for use in network.layers}
inputs = np.random.default_rng(0).standard_normal((2, 512, 5, 5)).astype(np.float32)
outputs = {"output": np.ones((2, 10), np.float32)}
cotangents = Cotangents.of(Compared.whole(outputs), outputs, 2, 0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = contributions(
    RandomFactors(network), network.differentiable(), inputs, candidates, cotangents
)
print(len(found), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_gradients():
    """The weights are 508 MB, and so would a gradient of all of them be; the changes held are of
    the eight convolutions, 75 MB."""
    run = [sys.executable, "-P", "-c", MEMORY]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    changes, gib = done.stdout.split()
    assert int(changes) == 10
    assert float(gib) < 0.3
