"""Layers that compute their weight before each call, and modules that keep what they computed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from rankwise.backends.base import ModuleWorkload
from rankwise.models.network import only
from rankwise.models.source import network_of_module
from rankwise.training.pair import pair_of

SHAPE = (2, 3, 8, 8)


def old(norm: Callable[..., nn.Module]) -> Callable[[nn.Module], nn.Module]:
    """Torch's forms of before there were parametrizations: it says that they are deprecated."""

    def make(layer: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return norm(layer)

    return make


NORMS = {
    "weight_norm": old(nn.utils.weight_norm),
    "spectral_norm": old(nn.utils.spectral_norm),
    "weight_norm, parametrized": parametrizations.weight_norm,
    "spectral_norm, parametrized": parametrizations.spectral_norm,
}


class Vocoder(nn.Module):
    """A normalised convolution and linear layer, and, if asked, a use of the latter's weight."""

    def __init__(self, norm: Callable[[nn.Module], nn.Module], reads: bool = False) -> None:
        super().__init__()
        self.conv, self.linear, self.reads = norm(nn.Conv2d(3, 8, 3)), norm(nn.Linear(36, 6)), reads
        with torch.no_grad():  # no weight is what it was normalised from
            for parameter in self.parameters():
                parameter.mul_(1.5)

    def forward(self, x: Tensor) -> Tensor:
        self.kept = self.conv(x)
        y = self.linear(self.kept.flatten(2))
        return y + F.linear(self.kept.flatten(2), self.linear.weight) if self.reads else y


@pytest.fixture(params=NORMS)
def norm(request: pytest.FixtureRequest) -> Callable[[nn.Module], nn.Module]:
    torch.manual_seed(0)
    return NORMS[request.param]


def test_such_layers_are_replaced_and_answers_stay(norm, full_rank, noise, tmp_path):
    module, inputs = Vocoder(norm).eval(), noise(*SHAPE)
    wanted = module(torch.from_numpy(inputs)).detach().numpy()  # a call that keeps a gradient
    network = network_of_module(module, SHAPE)
    np.testing.assert_allclose(only(network.outputs(inputs)), wanted, rtol=1e-5, atol=1e-6)
    for replacements in full_rank(network):
        smaller = network.replaced(replacements)
        assert not network.notes
        np.testing.assert_allclose(only(smaller.outputs(inputs)), wanted, rtol=1e-4, atol=1e-5)
    file = smaller.save(tmp_path / "smaller.onnx")
    answer = onnxruntime.InferenceSession(file).run(None, {"input": inputs})[0]
    np.testing.assert_allclose(answer, wanted, rtol=1e-4, atol=1e-5)
    assert smaller.save(tmp_path / "smaller.pt2").exists()


def test_the_original_is_timed_without_computing_weights(norm, noise):
    module, inputs = Vocoder(norm).eval(), torch.from_numpy(noise(*SHAPE))
    network = network_of_module(module, SHAPE)
    with torch.no_grad():
        wanted = network.module(inputs)
        timed = network.workload("k", (ModuleWorkload,), Path()).module
        torch.testing.assert_close(timed(inputs), wanted)
    assert set(timed.state_dict()) == {f"{n}.{p}" for n in ("conv", "linear") for p in PLAIN}
    assert set(network.module.state_dict()) == set(module.state_dict())


PLAIN = ("weight", "bias")


def test_a_weight_that_is_used_elsewhere_stays(norm):
    layers = network_of_module(Vocoder(norm, reads=True).eval(), SHAPE).layers
    assert [bool(use.reason) for use in layers] == [False, True]
    assert "used beside calling it" in layers[1].reason


def test_they_can_be_trained(norm, full_rank):
    network = network_of_module(Vocoder(norm).eval(), SHAPE)
    pair = pair_of(network, {k: v for k, v in full_rank(network)[0].items() if k == "linear"})
    pair.student(torch.ones(SHAPE)).sum().backward()
    assert all(p.grad is not None for p in pair.student.parameters())
    pair_of(pair.network(), {})


def test_parametrizations_of_ones_own(full_rank, noise):
    class Doubled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight * 2

    def double(layer: nn.Module) -> nn.Module:
        nn.utils.parametrize.register_parametrization(layer, "weight", Doubled())
        return layer

    network = network_of_module(Vocoder(double).eval(), SHAPE)
    inputs = noise(*SHAPE)
    smaller = network.replaced(full_rank(network)[0])
    np.testing.assert_allclose(
        only(smaller.outputs(inputs)), only(network.outputs(inputs)), rtol=1e-4, atol=1e-5
    )
