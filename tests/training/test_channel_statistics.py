"""Means and spreads of channels, brought back to the original's."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rankwise.models.torch_layers import Shift
from rankwise.training import channel_statistics
from rankwise.training.channel_statistics import (
    ChannelStatistics,
    corrected,
    last_link,
    layers_of,
    statistics,
)
from rankwise.training.pair import Pair, pair_of


def test_channels_spread_as_they_did(network, ranks, replacements, rows, monkeypatch):
    monkeypatch.setattr(channel_statistics, "MAX_SCALE", 1e3)
    pair = pair_of(network, replacements(network, ranks))
    inputs = torch.from_numpy(rows)
    before = _statistics(pair.original, layers_of(pair), inputs)
    ChannelStatistics(pair, inputs).match()
    after = _statistics(pair.student, layers_of(pair), inputs)
    assert list(before) == list(ranks)
    for path, (deviation, mean) in before.items():
        torch.testing.assert_close(after[path][0], deviation, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(after[path][1], mean, rtol=1e-3, atol=1e-4)


def test_nothing_else_changes(network, ranks, replacements, rows):
    pair = pair_of(network, replacements(network, ranks))
    original = {n: t.clone() for n, t in pair.original.state_dict().items()}
    student = {n: t.clone() for n, t in pair.student.state_dict().items()}
    ChannelStatistics(pair, torch.from_numpy(rows)).match()
    for name, tensor in pair.original.state_dict().items():
        assert torch.equal(tensor, original[name]), name
    changed = {
        name
        for name, tensor in pair.student.state_dict().items()
        if not torch.equal(tensor, student[name])
    }
    last = {"stem.1", "body.0.1", "fc.1"}
    assert changed == {f"{path}.{kind}" for path in last for kind in ("weight", "bias")}
    for module in (*pair.original.modules(), *pair.student.modules()):
        assert not vars(module)["_forward_hooks"]


def test_only_the_mean_of_what_the_network_says(network, ranks, replacements, rows):
    pair = pair_of(network, replacements(network, ranks))
    inputs = torch.from_numpy(rows)
    student = {n: t.clone() for n, t in pair.student.state_dict().items()}
    ChannelStatistics(pair, inputs).match_last_mean(7)
    with torch.no_grad():
        torch.testing.assert_close(pair.student(inputs).mean(0), pair.original(inputs).mean(0))
    state = pair.student.state_dict()
    assert [n for n in state if not torch.equal(state[n], student[n])] == ["fc.1.bias"]


def test_an_original_matches_itself(network, rows):
    pair = Pair(network.module, copy.deepcopy(network.module), (), lambda _: network)
    inputs = torch.from_numpy(rows)
    ChannelStatistics(pair, inputs).match()
    torch.testing.assert_close(pair.student(inputs), pair.original(inputs))


def test_no_bias_or_shared_weights():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4), nn.Linear(4, 4))
    model[2].weight = model[1].weight
    pair = Pair(model, copy.deepcopy(model), (), None)
    assert layers_of(pair) == []
    ChannelStatistics(pair, torch.randn(8, 4)).match()


def test_a_bias_of_its_own_is_shifted():
    """As a MatMul and an Add of an ONNX file become; the Linear cannot be corrected."""
    bias = nn.Parameter(torch.zeros(3))
    original = nn.Sequential(nn.Linear(4, 3, bias=False), Shift(bias))
    student = copy.deepcopy(original)
    student[0].weight.data += 1
    weight = student[0].weight.clone()
    pair = Pair(original, student, (), None)
    assert layers_of(pair) == ["1"]
    inputs = torch.randn(8, 4) + 1
    ChannelStatistics(pair, inputs).match()
    assert torch.equal(student[0].weight, weight)
    torch.testing.assert_close(student(inputs).mean(0), original(inputs).mean(0))


def test_features_of_tokens_and_dead_channels():
    """(n, tokens, features); a feature that says nothing is scaled by no more than two."""
    original, student = nn.Linear(4, 3), nn.Linear(4, 3)
    student.weight.data[0] = 0
    pair = Pair(nn.Sequential(original), nn.Sequential(student), (), None)
    inputs = torch.randn(8, 5, 4)
    ChannelStatistics(pair, inputs).match()
    found, wanted = pair.student(inputs), pair.original(inputs)
    torch.testing.assert_close(found.mean((0, 1)), wanted.mean((0, 1)), rtol=1e-3, atol=1e-4)
    assert torch.equal(student.weight[0], torch.zeros(4))


def _statistics(
    module: nn.Module, paths: list[str], inputs: torch.Tensor
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Before an activation in place changes them."""
    found = {}
    hooks = [
        module.get_submodule(path).register_forward_hook(
            lambda part, _, out, path=path: found.update({path: statistics(out, last_link(part))})
        )
        for path in paths
    ]
    with torch.no_grad():
        module(inputs)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize(
    ("link", "shape"),
    [
        (nn.Conv1d(4, 6, 3, groups=2), (5, 4, 9)),
        (nn.ConvTranspose1d(4, 6, 3, 2), (5, 4, 9)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), (5, 4, 6, 5)),
    ],
)
def test_a_corrected_link_answers_what_was_said(link, shape):
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    wanted = torch.rand(6, generator=generator) + 0.5, torch.randn(6, generator=generator)
    with torch.no_grad():
        told, _, _ = corrected(link, link(inputs), wanted)
        torch.testing.assert_close(link(inputs), told, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(statistics(told, link)[1], wanted[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("link", "shape"),
    [
        (nn.Conv2d(3, 5, 3), (4, 5, 7, 6)),
        (nn.Conv1d(3, 5, 3), (4, 5, 7)),
        (nn.Conv2d(3, 5, 3), (5, 7, 6)),
        (nn.Linear(3, 5), (4, 5)),
        (nn.Linear(3, 5), (4, 9, 5)),
    ],
)
def test_statistics_are_those_of_torch(link, shape):
    """Also where the mean is far larger than the deviation."""
    outputs = 1e3 + torch.randn(shape, generator=torch.Generator().manual_seed(0))
    exact, axis = outputs.double(), shape.index(5)
    others = [one for one in range(len(shape)) if one != axis]
    deviation, mean = torch.std_mean(exact, dim=others, correction=0)
    found = statistics(outputs, link)
    torch.testing.assert_close(found[0].double(), deviation, rtol=1e-3, atol=0)
    torch.testing.assert_close(found[1].double(), mean, rtol=1e-6, atol=0)
