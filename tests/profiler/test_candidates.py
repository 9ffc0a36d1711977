"""Candidates: on the grid, cheaper than the original, spread, in the same order every time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.lowrank import KINDS, full_ranks, lower
from rankwise.profiler.candidates import default_candidates, dropped, in_precisions
from rankwise.records import ORIGINAL, Decomposition, LayerSpec


def conv(in_channels: int, out_channels: int, size: int, kernel: int, groups: int = 1) -> LayerSpec:
    return LayerSpec(
        "conv2d",
        in_channels,
        out_channels,
        (in_channels, size, size),
        (kernel, kernel),
        padding=(kernel // 2,) * 4,
        groups=groups,
    )


channels = st.integers(1, 300)
groups = st.sampled_from([2, 3, 8])
specs = st.one_of(
    st.builds(
        lambda g, i, o, k: conv(g * i, g * o, 9, k, g),
        *(groups, st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    ),
    st.builds(conv, channels, channels, st.integers(1, 20), st.sampled_from([1, 3, 5])),
    st.builds(lambda i, o: LayerSpec("linear", i, o, (i,)), channels, channels),
)


@given(
    specs,
    st.sampled_from([None, list(KINDS)]),
    st.sampled_from([1, 4, 8, 16, 64]),
    st.integers(1, 9),
)
def test_every_candidate_is_on_the_grid_and_saves(
    spec: LayerSpec, kinds: list[str] | None, quantum: int, most: int
) -> None:
    found = default_candidates(spec, kinds, quantum, most)
    assert len(set(found)) == len(found)
    assert found == default_candidates(spec, kinds, quantum, most)
    for decomposition in found:
        assert all(rank % quantum == 0 for rank in decomposition.ranks)
        limits = full_ranks(spec, decomposition.kind, decomposition.groups)
        assert all(1 <= r <= f for r, f in zip(decomposition.ranks, limits, strict=True))
        assert lower(spec, decomposition).macs < spec.macs
    made = [(decomposition.kind, decomposition.groups) for decomposition in found]
    assert all(made.count(one) <= most for one in made)
    assert not {kind for kind, _ in made} & set(dropped(spec, kinds, quantum))


def test_unstable_and_costly_kinds_are_measured_only_when_asked_for() -> None:
    spec = conv(64, 64, 14, 3)
    routine = {d.kind for d in default_candidates(spec, None, 16)}
    assert routine == {"channel_svd", "input_svd", "spatial_svd", "tucker2"}
    asked = default_candidates(spec, ["cp", "branched_tucker"], 16)
    assert {(d.kind, d.groups) for d in asked} == {
        *(("cp", 1), ("branched_tucker", 2), ("branched_tucker", 4))
    }


def test_ranks_span_what_can_be_gained() -> None:
    spec = conv(1024, 256, 14, 1)
    ranks = [d.ranks[0] for d in default_candidates(spec, None, 16)]
    break_even = 1024 * 256 / (1024 + 256)
    assert len(ranks) == 8
    assert ranks == sorted(ranks)
    assert ranks[0] < 0.25 * break_even
    assert 0.8 * break_even < ranks[-1] < break_even


def test_tucker_pairs_keep_the_aspect_of_the_channels() -> None:
    found = default_candidates(conv(128, 256, 14, 3), ["tucker2"], 16)
    assert found
    for decomposition in found:
        rank_in, rank_out = decomposition.ranks
        assert rank_out == 2 * rank_in


def test_dropped_kinds_have_reasons() -> None:
    few = "full rank 3 is below the rank quantum 16"
    assert dropped(conv(3, 64, 224, 7), None, 16) == {"input_svd": few, "tucker2": few}
    assert dropped(conv(12, 96, 8, 3, groups=3), ["tucker2"], 16) == {
        "tucker2": "full rank 12 is below the rank quantum 48"
    }
    assert dropped(conv(16, 16, 8, 1), None, 16) == {
        "svd": "no multiple of 16 saves multiply-accumulates"
    }


@pytest.mark.parametrize("kinds", [[], ["original"], ["svd"]])
def test_kinds_that_do_not_apply_give_none(kinds: list[str]) -> None:
    assert default_candidates(conv(64, 64, 8, 3), kinds, 16) == []


def test_grouped_layers_have_no_candidates() -> None:
    assert default_candidates(conv(64, 64, 8, 3, groups=64), None, 16) == []
    assert dropped(conv(64, 64, 8, 3, groups=64), None, 16) == {}


def test_among_layers_in_int8_a_layer_may_stay_in_float32() -> None:
    """And what is small enough to be faster in float32 than the layer in int8."""
    spec = conv(64, 64, 9, 1)
    wanted = [Decomposition("svd", (16,)), Decomposition("svd", (24,))]
    assert in_precisions(spec, wanted, "float32") == wanted
    found = in_precisions(spec, wanted, "int8")
    assert [(one.kind, one.ranks, one.precision) for one in found] == [
        ("svd", (16,), ""),
        ("svd", (24,), ""),
        ("original", (), "float32"),
        ("svd", (16,), "float32"),
    ]
    assert not any(one.is_original for one in found)
    assert ORIGINAL not in found
