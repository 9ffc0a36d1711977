"""Channels of replaced layers, brought back to the original's mean and deviation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rankwise.errors import CalibrationError
from rankwise.factors import channel_matcher
from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.channel_matcher import ChannelMatcher
from rankwise.factors.channel_matching import ChannelMatching, corrected_links
from rankwise.models.network import Network, only
from rankwise.models.source import network_of_module
from rankwise.ops.chain import LinkWeights
from rankwise.records import Decomposition

SHAPE = (1, 3, 10, 10)
INPUTS = np.random.default_rng(2).random((12, *SHAPE[1:]), dtype=np.float32)
DECISIONS = {
    "first": Decomposition("channel_svd", (4,)),
    "bare": Decomposition("spatial_svd", (4,)),
    "head": Decomposition("svd", (3,)),
}
"""Of `second` nothing is replaced; `bare` has no bias."""


class Net(nn.Module):
    """Four layers, of which the second runs twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 12, 3, padding=1)
        self.bare = nn.Conv2d(12, 16, 3, padding=1, bias=False)
        self.head = nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.second(torch.relu(self.second(x))))
        x = torch.relu(self.bare(x))
        return self.head(x.permute(0, 2, 3, 1))


@pytest.fixture(scope="module")
def network() -> Network:
    return network_of_module(Net().eval(), SHAPE)


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "cache")


@pytest.fixture
def matched(network: Network, cache: ArrayCache) -> Callable[..., Assembly]:
    def make(pictures: bool = True) -> Assembly:
        made = ChannelMatcher(network, INPUTS).corrections if pictures else None
        return Assembly(network, cache=cache, matching=ChannelMatching(cache, "ab" * 32, made))

    return make


def seen(network: Network, name: str) -> list[np.ndarray]:
    """What a layer, or the chain in its place, answers on the inputs each time that it runs:
    (channels, values)."""
    answers: list[np.ndarray] = []
    layer = network.module.get_submodule(name)
    axis = 1 if name != "head" else 3

    def note(_module: Any, _inputs: Any, outputs: torch.Tensor) -> None:
        answers.append(np.moveaxis(outputs.numpy(), axis, 0).reshape(outputs.shape[axis], -1))

    handle = layer.register_forward_hook(note)
    with torch.no_grad():
        network.module(torch.from_numpy(INPUTS))
    handle.remove()
    return answers


def test_channels_have_the_means_and_deviations_of_the_original(
    network: Network, matched: Callable[..., Assembly]
) -> None:
    plain = Assembly(network).network_with(DECISIONS)
    ours = matched().network_with(DECISIONS)
    for name in ("first", "head"):
        wanted, given = seen(network, name)[0], seen(ours, name)[0]
        np.testing.assert_allclose(given.mean(axis=1), wanted.mean(axis=1), atol=2e-4)
        ratio = given.std(axis=1) / wanted.std(axis=1)
        assert np.median(abs(ratio - 1)) < 1e-3
        assert abs(seen(plain, name)[0].std(axis=1) / wanted.std(axis=1) - 1).max() > 0.1


def test_a_correction_is_what_numpy_says(
    network: Network, matched: Callable[..., Assembly], cache: ArrayCache
) -> None:
    """Of the first layer, before which nothing is corrected; no scale is beyond 2."""
    assembly = matched()
    decisions = {"first": Decomposition("channel_svd", (1,))}
    plain = seen(Assembly(network).network_with(decisions), "first")[0]
    wanted = seen(network, "first")[0]
    with np.errstate(divide="ignore"):
        scale = np.clip(wanted.std(axis=1) / plain.std(axis=1), 0.5, 2)
    assert scale.max() == 2
    found = cache.read("channels", [assembly.plan_key(decisions)])
    assert found is None
    (_, links) = assembly.replacements(decisions)["first"]
    found = cache.read("channels", [assembly.plan_key(decisions)])
    assert found is not None
    np.testing.assert_allclose(found["first.scale"], scale, rtol=1e-3)
    shift = wanted.mean(axis=1) - scale * plain.mean(axis=1)
    np.testing.assert_allclose(found["first.shift"], shift, atol=1e-3)
    before = Assembly(network).links("first", decisions["first"])[-1]
    last = links[-1]
    assert last.bias is not None
    assert before.bias is not None
    np.testing.assert_allclose(last.weight, before.weight * scale[:, None, None, None], rtol=1e-3)
    np.testing.assert_allclose(last.bias, before.bias * scale + shift, atol=1e-3)
    assert (last.weight.dtype, last.bias.dtype) == (before.weight.dtype, before.bias.dtype)


def test_only_last_links_of_replaced_layers_with_a_bias_change(
    network: Network, matched: Callable[..., Assembly]
) -> None:
    ours, plain = matched().replacements(DECISIONS), Assembly(network).replacements(DECISIONS)
    assert ours.keys() == plain.keys()
    for name, (chain, links) in ours.items():
        assert chain == plain[name][0]
        for place, (one, other) in enumerate(zip(links, plain[name][1], strict=True)):
            same = name == "bare" or place < len(links) - 1
            assert np.array_equal(one.weight, other.weight) is same
    kept = network.replaced(ours).module.second
    assert torch.equal(kept.weight, network.module.second.weight)
    assert torch.equal(kept.bias, network.module.second.bias)


def test_a_layer_that_runs_twice_is_corrected_for_its_first_run(
    network: Network, matched: Callable[..., Assembly]
) -> None:
    ours = matched().network_with({"second": Decomposition("channel_svd", (4,))})
    wanted, given = seen(network, "second"), seen(ours, "second")
    assert len(given) == 2
    np.testing.assert_allclose(given[0].mean(axis=1), wanted[0].mean(axis=1), atol=2e-4)
    assert abs(given[1].mean(axis=1) - wanted[1].mean(axis=1)).max() > 1e-2


def test_the_original_is_left_as_it_was(network: Network, matched: Callable[..., Assembly]) -> None:
    before = {name: one.clone() for name, one in network.module.state_dict().items()}
    assembly = matched()
    assembly.network_with(DECISIONS)
    after = network.module.state_dict()
    assert all(torch.equal(after[name], one) for name, one in before.items())
    assert assembly.replacements({}) == {}


def test_corrections_come_from_the_cache(matched: Callable[..., Assembly]) -> None:
    first = only(matched().network_with(DECISIONS).outputs(INPUTS))
    again = only(matched(pictures=False).network_with(DECISIONS).outputs(INPUTS))
    np.testing.assert_array_equal(again, first)
    with pytest.raises(CalibrationError, match="give the same pictures again with --calibr") as e:
        matched(pictures=False).network_with({"first": DECISIONS["first"]})
    assert "abababababab" in str(e.value)
    assert "\n" not in str(e.value)


def test_plans_have_other_keys_with_other_factors_and_other_matching(
    network: Network, matched: Callable[..., Assembly], cache: ArrayCache
) -> None:
    plain = Assembly(network, cache=cache)
    elsewhere = plain.with_matching(ChannelMatching(cache, "cd" * 32, None))
    other = {**DECISIONS, "head": Decomposition("svd", (4,))}
    fewer = {"head": DECISIONS["head"]}
    keys = [
        one.plan_key(decisions)
        for one in (plain, matched(), elsewhere)
        for decisions in (DECISIONS, other, fewer)
    ]
    assert len(set(keys)) == 9
    backwards = dict(reversed(list(DECISIONS.items())))
    assert matched().plan_key(backwards) == matched().plan_key(DECISIONS)
    assert plain.matching is None  # `with_matching` makes another


def test_a_chain_without_corrections_stays() -> None:
    links = (LinkWeights(np.ones((2, 3)), None), LinkWeights(np.ones((4, 2)), np.ones(4)))
    arrays = {"a.scale": np.full(4, 2.0), "a.shift": np.arange(4.0)}
    assert corrected_links(links, "b", arrays) == links
    assert corrected_links(links[:1], "a", arrays) == links[:1]
    first, last = corrected_links(links, "a", arrays)
    assert first is links[0]
    np.testing.assert_array_equal(last.weight, np.full((4, 2), 2.0))
    np.testing.assert_array_equal(last.bias, 2.0 + np.arange(4))


@pytest.mark.parametrize(("held", "examples"), [(100, 12), (9, 9), (1, 8)])
def test_examples_are_as_many_as_caches_hold(
    monkeypatch: pytest.MonkeyPatch, held: int, examples: int
) -> None:
    """Of the largest layer's outputs; but no fewer than eight."""
    network = network_of_module(Net().eval(), SHAPE)
    largest = max(int(np.prod(use.spec.output_shape)) for use in network.layers if use.spec)
    monkeypatch.setattr(channel_matcher, "MAX_NUMBERS", held * largest)
    seen: list[int] = []

    def noted(_network: Network, given: Any) -> None:
        seen.append(len(given))

    monkeypatch.setattr(channel_matcher, "ChannelMatcher", noted)
    pictures: Any = SimpleNamespace(fit=INPUTS)
    channel_matcher.matcher_of(network, pictures)
    assert seen == [examples]
