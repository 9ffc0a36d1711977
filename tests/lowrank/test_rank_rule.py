"""One decomposition for a layer by a rule: the right ranks, or the reason why none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import LayerError
from rankwise.lowrank import KINDS, applicable_kinds, full_ranks, lower, rank_step
from rankwise.lowrank.rank_rule import RankChoice, RankRule, choose
from rankwise.lowrank.ranks import energy_ranks, pr_rank, vbmf_ranks
from rankwise.records import ORIGINAL, Decomposition, LayerSpec

CONV = LayerSpec("conv2d", 24, 32, (24, 9, 9), (3, 3))
POINTWISE = LayerSpec("conv2d", 24, 32, (24, 9, 9))
GROUPED = LayerSpec("conv2d", 24, 32, (24, 9, 9), (3, 3), groups=4)
DEPTHWISE = LayerSpec("conv2d", 24, 24, (24, 9, 9), (3, 3), groups=24)
LINEAR = LayerSpec("linear", 24, 32, (24,))


def weight_of(spec: LayerSpec, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(spec.weight_shape)


def test_each_rule_gives_its_ranks() -> None:
    weight = weight_of(CONV)
    kinds = ("tucker2",)
    found = choose(CONV, weight, RankRule("pr", ratio=3.0), kinds).decomposition
    assert found == Decomposition("tucker2", pr_rank(CONV, "tucker2", 3.0))
    found = choose(CONV, weight, RankRule("energy", threshold=0.5), kinds).decomposition
    assert found == Decomposition("tucker2", energy_ranks(CONV, "tucker2", weight, 0.5))
    low = np.einsum("oihw,po,ci->pchw", weight[:5, :4], weight_of(LINEAR)[:, :5], np.eye(24, 4))
    found = choose(CONV, low, RankRule("vbmf", weakening=1.0, min_rank=1), kinds).decomposition
    assert found == Decomposition("tucker2", vbmf_ranks(CONV, "tucker2", low, 1.0, 1))
    found = choose(CONV, weight, RankRule("fixed", rank=7), kinds).decomposition
    assert found == Decomposition("tucker2", (7, 7))


def test_the_first_kind_that_applies() -> None:
    rule = RankRule("pr", ratio=4.0)
    for spec, kind in ((CONV, "tucker2"), (POINTWISE, "svd"), (LINEAR, "svd")):
        assert choose(spec, weight_of(spec), rule).decomposition.kind == kind
    kinds = ("spatial_svd", "svd")
    assert choose(CONV, weight_of(CONV), rule, kinds).decomposition.kind == "spatial_svd"


@pytest.mark.parametrize(
    ("spec", "rule", "kinds", "words"),
    [
        (DEPTHWISE, RankRule("pr"), ("svd", "tucker2"), "depthwise convolution"),
        (POINTWISE, RankRule("pr"), ("spatial_svd",), "1x1 kernel"),
        (LINEAR, RankRule("pr"), ("tucker2",), "linear layer"),
        (CONV, RankRule("pr", quantum=32), ("tucker2",), "24 is below the rank quantum 32"),
        (GROUPED, RankRule("pr", quantum=7), ("tucker2",), "below the rank quantum 28"),
        (CONV, RankRule("fixed", rank=33), ("channel_svd",), "rank 33 is above the full rank 32"),
        (CONV, RankRule("pr", ratio=1.0), ("channel_svd",), ""),
        (CONV, RankRule("energy", threshold=1.0), ("tucker2",), "saves no multiply-accumulates"),
    ],
)
def test_layers_that_stay_say_why(
    spec: LayerSpec, rule: RankRule, kinds: tuple[str, ...], words: str
) -> None:
    found = choose(spec, weight_of(spec), rule, kinds)
    if words:
        assert found.decomposition == ORIGINAL
        assert words in found.reason
    else:
        assert not found.reason


specs = st.sampled_from([CONV, POINTWISE, GROUPED, LINEAR])


@given(
    specs,
    st.sampled_from(["pr", "vbmf", "energy", "fixed"]),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.sampled_from(["nearest", "down", "up"]),
    st.floats(0.1, 0.99),
    st.integers(0, 3),
)
def test_what_is_chosen_is_on_the_grid_and_saves(
    spec: LayerSpec, name: str, quantum: int, rounding: Any, share: float, seed: int
) -> None:
    rule = RankRule(
        name,
        ratio=1 / share,
        weakening=share,
        min_rank=1,
        threshold=share,
        rank=max(1, int(24 * share)),
        quantum=quantum,
        rounding=rounding,
    )
    weight = weight_of(spec, seed) * 0.6 ** np.arange(spec.weight_shape[0]).reshape(
        -1, *(1,) * (len(spec.weight_shape) - 1)
    )
    for kind in applicable_kinds(spec)[0]:
        found = choose(spec, weight, rule, (kind,))
        made = found.decomposition
        if made.is_original:
            assert found.reason
            continue
        assert made.kind == kind
        assert made.groups == KINDS[kind].branchings[0]
        step = rank_step(spec, kind, made.groups)
        limits = full_ranks(spec, kind, made.groups)
        assert all(rank % quantum == rank % step == 0 for rank in made.ranks)
        assert all(r <= limit for r, limit in zip(made.ranks, limits, strict=True))
        assert lower(spec, made).macs < spec.macs
        assert found == RankChoice(made)


def test_ranks_of_grouped_layers_are_those_of_the_group_that_needs_most() -> None:
    rng = np.random.default_rng(0)
    spec = LayerSpec("conv2d", 48, 64, (48, 9, 9), groups=2)
    weight = np.zeros(spec.weight_shape)
    for group, rank in enumerate((2, 5)):
        block = rng.standard_normal((32, rank)) @ rng.standard_normal((rank, 24))
        weight[32 * group : 32 * (group + 1), :, 0, 0] = block
    weight += 0.05 * rng.standard_normal(weight.shape)
    assert vbmf_ranks(spec, "svd", weight, k=1.0, min_rank=1) == (2 * 5,)
    assert pr_rank(spec, "svd", 4.0)[0] % 2 == 0
    assert energy_ranks(spec, "svd", weight, 0.99)[0] % 2 == 0


def test_a_fixed_rank_may_be_one() -> None:
    chosen = choose(CONV, weight_of(CONV), RankRule("fixed", rank=1), ("channel_svd",))
    assert chosen.decomposition == Decomposition("channel_svd", (1,))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"name": "magic"}, "unknown rank rule 'magic'; known are vbmf, pr, energy, fixed"),
        ({"name": "pr", "ratio": 0.0}, "parameter reduction"),
        ({"name": "vbmf", "weakening": 1.1}, "weakening factor"),
        ({"name": "energy", "threshold": 0.0}, "energy threshold"),
        ({"name": "fixed"}, "fixed rank must be at least 1"),
        ({"name": "pr", "quantum": 0}, "rank quantum must be at least 1"),
        ({"name": "pr", "rounding": "sideways"}, "not 'sideways'"),
    ],
)
def test_rules_that_make_no_sense(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(LayerError, match=words):
        RankRule(**parameters)


def test_an_unknown_kind() -> None:
    with pytest.raises(LayerError, match="unknown kind 'magic'"):
        choose(CONV, weight_of(CONV), RankRule("pr"), ("magic",))
