"""Convolutions of every sort, read and written back, in torch and in ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankwise.lowrank import KINDS, applicable_kinds, factorizer, full_ranks, lower
from rankwise.models.network import Network, Replacements, only
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.torch_network import TorchNetwork
from rankwise.ops.chain import Chain, LinkWeights
from rankwise.ops.reference import reference
from rankwise.records import Decomposition, LayerSpec, LayerUse

Case = tuple[nn.Module, tuple[int, ...]]

CASES: dict[str, Case] = {
    "1-D": (nn.Conv1d(4, 6, 5, 2, 2, dilation=2), (2, 4, 19)),
    "1-D same": (nn.Conv1d(4, 6, 4, padding="same", bias=False), (1, 4, 9)),
    "3-D": (nn.Conv3d(4, 5, (3, 2, 3), (1, 2, 1), (1, 0, 2)), (1, 4, 5, 6, 5)),
    "3-D frames": (nn.Conv3d(4, 4, (1, 3, 3), padding=(0, 1, 1), groups=2), (1, 4, 3, 6, 5)),
    "1-D transposed": (nn.ConvTranspose1d(6, 4, 4, 2, 1), (2, 6, 7)),
    "2-D transposed": (nn.ConvTranspose2d(5, 4, 3, 2, 1, output_padding=1), (1, 5, 6, 5)),
    "2-D transposed in groups": (
        nn.ConvTranspose2d(4, 6, (3, 2), (2, 1), groups=2, dilation=(1, 2), bias=False),
        (2, 4, 5, 6),
    ),
    "3-D transposed": (nn.ConvTranspose3d(3, 4, 2, 2), (1, 3, 3, 2, 2)),
    "circular": (nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode="circular"), (1, 3, 8, 9)),
    "reflect": (nn.Conv1d(3, 4, 5, 2, padding=2, padding_mode="reflect"), (2, 3, 11)),
    "replicate": (nn.Conv3d(3, 4, 3, padding=1, padding_mode="replicate"), (1, 3, 4, 5, 4)),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def network_of(case: Case) -> TorchNetwork:
    return TorchNetwork.of(nn.Sequential(case[0], nn.ReLU()), "case", case[1])


def inputs_of(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def layer_of(network: Network) -> tuple[LayerUse, LayerSpec]:
    use = network.layers[0]
    assert use.spec is not None, use.reason
    return use, use.spec


def at_full_rank(network: Network, kind: str) -> Replacements:
    use, spec = layer_of(network)
    groups = KINDS[kind].branchings[0]
    ranks = full_ranks(spec, kind, groups)
    made = factorizer(spec, kind, *network.weights(use.name), groups=groups)
    return {use.name: (lower(spec, Decomposition(kind, ranks, groups)), made.at(ranks))}


def test_the_spec_is_the_layer(case: Case) -> None:
    """By its definition, behind the padding where that is not of zeros."""
    network, given = network_of(case), inputs_of(case[1])
    use, spec = layer_of(network)
    part, seen = case[0], torch.from_numpy(given)
    if part.padding_mode != "zeros":
        pads = part._reversed_padding_repeated_twice  # noqa: SLF001
        seen = nn.functional.pad(seen, pads, mode=part.padding_mode)
    layer = LinkWeights(*network.weights(use.name))
    with torch.no_grad():
        wanted = part(torch.from_numpy(given)).numpy()
    found = reference(Chain((spec,)), [layer], seen.numpy())
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_replaced_at_full_rank_it_answers_as_before(case: Case, tmp_path: Path) -> None:
    """In torch, in the ONNX file written of it, in a file of the original with its layer replaced,
    and in a torch module made of that."""
    network, given = network_of(case), inputs_of(case[1])
    wanted = only(network.outputs(given))
    original = OnnxNetwork.load(network.to_onnx(tmp_path / "original.onnx"))
    for kind in applicable_kinds(layer_of(network)[1])[0]:
        made = network.replaced(at_full_rank(network, kind))
        np.testing.assert_allclose(only(made.outputs(given)), wanted, atol=2e-4, err_msg=kind)
    written = OnnxNetwork.load(made.to_onnx(tmp_path / "made.onnx"))
    in_onnx = original.replaced(at_full_rank(original, kind))
    in_torch = TorchNetwork.owning(in_onnx.to_torch().module, "converted", case[1])
    for one in (written, original, in_onnx, in_torch):
        np.testing.assert_allclose(only(one.outputs(given)), wanted, atol=2e-4)


def test_moments_are_those_of_the_layer(case: Case, tmp_path: Path) -> None:
    """Of patches: E[W x + b] is the mean of the outputs; the same from the file."""
    network = network_of(case)
    use, spec = layer_of(network)
    if spec.groups > 1:
        return
    given = inputs_of((3 * case[1][0], *case[1][1:]))
    found = network.moments(given, {use.name: ["patches", "outputs"]})
    weight, bias = network.weights(use.name)
    patches, outputs = found[use.name, "patches"], found[use.name, "outputs"]
    matrix = weight.reshape(len(weight), -1)
    mean = matrix @ patches.mean + (0 if bias is None else bias)
    np.testing.assert_allclose(mean, outputs.mean, atol=1e-4)
    file = OnnxNetwork.load(network.to_onnx(tmp_path / "n.onnx"))
    again = file.moments(given, {layer_of(file)[0].name: ["patches"]})
    (in_file,) = again.values()
    np.testing.assert_allclose(in_file.second, patches.second, atol=1e-4)


class Sized(nn.Module):
    """As decoders ask for the size that an encoder began with."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(3, 4, 3, 2, 1)
        self.up = nn.ConvTranspose2d(4, 3, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(self.down(x), output_size=x.shape)


def test_an_output_size_that_is_asked_for() -> None:
    network = TorchNetwork.of(Sized(), "sized", (1, 3, 8, 9))
    spec = network.layers[1].spec
    assert spec is not None
    assert spec.output_padding == (1, 0)
    made = factorizer(spec, "channel_svd", *network.weights("up")).at((2,))
    replaced = network.replaced({"up": (lower(spec, Decomposition("channel_svd", (2,))), made)})
    assert only(replaced.outputs(inputs_of((1, 3, 8, 9)))).shape == (1, 3, 8, 9)
    with pytest.raises(Exception, match="asked for outputs of size"):
        replaced.module(torch.zeros(1, 3, 9, 9))
