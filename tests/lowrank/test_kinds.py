"""Which kinds apply, what a layer becomes, and what is refused in which words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rankwise.errors import LayerError
from rankwise.lowrank import (
    KINDS,
    Moments,
    applicable_kinds,
    factor,
    factorizer,
    full_ranks,
    layer_error,
    lower,
    moments_wanted,
    rank_step,
)
from rankwise.records import Decomposition, LayerSpec

CONV = LayerSpec(
    "conv2d",
    16,
    32,
    (16, 20, 24),
    (3, 5),
    stride=(2, 1),
    padding=(1, 2, 0, 3),
    dilation=(1, 2),
)
POINTWISE = LayerSpec("conv2d", 16, 32, (16, 20, 24), stride=(2, 2), padding=(0, 1, 0, 0))
LINEAR = LayerSpec("linear", 16, 32, (7, 16))


def test_kinds_by_layer() -> None:
    every = ["channel_svd", "input_svd", "spatial_svd", "tucker2", "branched_tucker", "cp"]
    assert applicable_kinds(CONV) == (every, "")
    assert applicable_kinds(POINTWISE) == (["svd"], "")
    assert applicable_kinds(LINEAR) == (["svd"], "")
    for kernel in ((1, 5), (3, 1)):
        flat = [kind for kind in every if kind != "spatial_svd"]
        assert applicable_kinds(replace(CONV, kernel_size=kernel)) == (flat, "")
    by_group = [kind for kind in every if kind != "branched_tucker"]
    assert applicable_kinds(replace(CONV, groups=4)) == (by_group, "")
    assert applicable_kinds(replace(POINTWISE, groups=4)) == (["svd"], "")
    for depthwise in (replace(CONV, groups=16), replace(POINTWISE, groups=16)):
        assert applicable_kinds(depthwise) == ([], "depthwise convolution")


def test_the_registry_knows_each_kind_by_its_name() -> None:
    assert list(KINDS)[:8] == [
        *("original", "svd", "channel_svd", "input_svd", "spatial_svd"),
        *("tucker2", "branched_tucker", "cp"),
    ]
    assert all(name == kind.name for name, kind in KINDS.items())


def test_of_which_vectors_moments_are_wanted() -> None:
    wide = replace(CONV, in_channels=1024, input_shape=(1024, 20, 24))
    assert moments_wanted(CONV, "channel_svd") == "outputs"
    assert moments_wanted(CONV, "spatial_svd") == moments_wanted(CONV, "tucker2") == "patches"
    assert moments_wanted(LINEAR, "svd") == "outputs"
    assert moments_wanted(wide, "channel_svd") == "outputs"
    assert moments_wanted(wide, "tucker2") == ""
    assert moments_wanted(replace(LINEAR, out_channels=5000), "svd") == ""
    assert moments_wanted(CONV, "original") == ""
    with pytest.raises(LayerError, match="1x1 kernel"):
        moments_wanted(POINTWISE, "tucker2")


def test_full_ranks() -> None:
    assert full_ranks(CONV, "original") == ()
    assert full_ranks(CONV, "channel_svd") == (32,)
    assert full_ranks(replace(CONV, in_channels=2, input_shape=(2, 20, 24)), "channel_svd") == (30,)
    assert full_ranks(CONV, "spatial_svd") == (48,)
    assert full_ranks(CONV, "input_svd") == (16,)
    assert full_ranks(CONV, "tucker2") == (16, 32)
    assert full_ranks(CONV, "branched_tucker", 4) == (4 * 16, 4 * 32)
    assert full_ranks(CONV, "cp") == (16 * 15,)
    assert full_ranks(POINTWISE, "svd") == full_ranks(LINEAR, "svd") == (16,)


def test_full_ranks_of_grouped_layers_are_those_of_all_groups() -> None:
    narrow = replace(CONV, in_channels=8, input_shape=(8, 20, 24), groups=4)  # 2 -> 8 a group
    assert full_ranks(narrow, "channel_svd") == (4 * 8,)
    assert full_ranks(narrow, "input_svd") == (4 * 2,)
    assert full_ranks(narrow, "spatial_svd") == (4 * 2 * 3,)
    assert full_ranks(narrow, "tucker2") == (4 * 2, 4 * 8)
    assert full_ranks(narrow, "cp") == (4 * 2 * 15,)
    assert full_ranks(replace(POINTWISE, groups=8), "svd") == (8 * 2,)
    assert rank_step(narrow, "cp") == 4
    assert rank_step(CONV, "cp") == rank_step(LINEAR, "svd") == 1
    assert rank_step(CONV, "branched_tucker", 3) == 3


def test_macs_are_those_of_the_formulas() -> None:
    """Multiply-accumulates per output pixel, as published for stride 1."""
    spec = LayerSpec("conv2d", 16, 32, (16, 20, 24), (3, 3), padding=(1, 1, 1, 1))
    pixels = 20 * 24
    r = 5
    assert lower(spec, Decomposition("channel_svd", (r,))).macs == pixels * r * (16 * 9 + 32)
    assert lower(spec, Decomposition("spatial_svd", (r,))).macs == pixels * r * (16 * 3 + 32 * 3)
    tucker = lower(spec, Decomposition("tucker2", (4, 6))).macs
    assert tucker == pixels * (16 * 4 + 4 * 6 * 9 + 6 * 32)
    assert lower(spec, Decomposition("input_svd", (r,))).macs == pixels * r * (16 + 32 * 9)
    branched = lower(spec, Decomposition("branched_tucker", (4, 6), 2)).macs
    assert branched == pixels * (16 * 4 + 4 * 6 * 9 // 2 + 6 * 32)
    assert lower(spec, Decomposition("cp", (r,))).macs == pixels * r * (16 + 3 + 3 + 32)
    one = LayerSpec("conv2d", 16, 32, (16, 20, 24))
    assert lower(one, Decomposition("svd", (r,))).macs == pixels * r * (16 + 32)
    assert lower(LINEAR, Decomposition("svd", (r,))).macs == 7 * r * (16 + 32)


def test_where_stride_padding_and_dilation_go() -> None:
    first, second = lower(CONV, Decomposition("spatial_svd", (5,))).links
    assert (first.kernel_size, first.stride, first.padding) == ((3, 1), (2, 1), (1, 0, 0, 0))
    assert (second.kernel_size, second.stride, second.padding) == ((1, 5), (1, 1), (0, 2, 0, 3))
    assert (first.dilation, second.dilation) == ((1, 1), (1, 2))
    first, second = lower(CONV, Decomposition("channel_svd", (5,))).links
    assert first == replace(CONV, out_channels=5, bias=False)
    assert second == LayerSpec("conv2d", 5, 32, (5, *CONV.output_shape[1:]))
    first, core, last = lower(CONV, Decomposition("tucker2", (4, 6))).links
    assert first == LayerSpec("conv2d", 16, 4, (16, 20, 24), bias=False)
    assert (core.stride, core.padding, core.dilation) == (CONV.stride, CONV.padding, CONV.dilation)
    assert (core.in_channels, core.out_channels, last.kernel_size) == (4, 6, (1, 1))
    first, second = lower(CONV, Decomposition("input_svd", (5,))).links
    assert first == LayerSpec("conv2d", 16, 5, (16, 20, 24), bias=False)
    assert second == replace(CONV, in_channels=5, input_shape=(5, 20, 24))
    first, column, row, last = lower(CONV, Decomposition("cp", (5,))).links
    assert (column.kernel_size, column.stride, column.padding) == ((3, 1), (2, 1), (1, 0, 0, 0))
    assert (row.kernel_size, row.stride, row.padding) == ((1, 5), (1, 1), (0, 2, 0, 3))
    assert (column.groups, row.groups, column.dilation, row.dilation) == (5, 5, (1, 1), (1, 2))
    flat = replace(CONV, kernel_size=(1, 5))
    _, middle, _ = lower(flat, Decomposition("cp", (5,))).links
    assert middle == replace(
        flat, in_channels=5, out_channels=5, groups=5, input_shape=(5, 20, 24), bias=False
    )
    first, second = lower(POINTWISE, Decomposition("svd", (5,))).links
    assert (first.stride, second.stride) == ((2, 2), (1, 1))
    assert (first.padding, second.padding) == ((0, 1, 0, 0), (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("spec", "decomposition", "words"),
    [
        (CONV, Decomposition("channel_svd", (0,)), "rank 0 of channel_svd is outside 1 to 32"),
        (CONV, Decomposition("input_svd", (17,)), "rank 17 of input_svd is outside 1 to 16"),
        (CONV, Decomposition("cp", (241,)), "rank 241 of cp is outside 1 to 240"),
        (CONV, Decomposition("branched_tucker", (4, 5), 2), "rank 5 .* no multiple of 2"),
        (CONV, Decomposition("branched_tucker", (4, 6), 0), "at least one group, not 0"),
        (CONV, Decomposition("branched_tucker", (34, 4), 2), "rank 34 .* outside 2 to 32"),
        (replace(CONV, groups=4), Decomposition("channel_svd", (6,)), "rank 6 .* multiple of 4"),
        (replace(CONV, groups=4), Decomposition("cp", (2,)), "rank 2 .* outside 4 to 240"),
        (CONV, Decomposition("channel_svd", (33,)), "rank 33 of channel_svd is outside 1 to 32"),
        (CONV, Decomposition("channel_svd", (-1,)), "rank -1 of channel_svd"),
        (CONV, Decomposition("channel_svd", (2.5,)), "rank 2.5 .* not a whole"),  # type: ignore
        (CONV, Decomposition("channel_svd", ("4",)), "rank '4' .* not a whole"),  # type: ignore
        (CONV, Decomposition("channel_svd", ()), r"takes 1 rank\(s\), not 0"),
        (CONV, Decomposition("channel_svd", (2, 2)), r"takes 1 rank\(s\), not 2"),
        (CONV, Decomposition("tucker2", (4,)), r"takes 2 rank\(s\), not 1"),
        (CONV, Decomposition("tucker2", (17, 4)), "rank 17 of tucker2 is outside 1 to 16"),
        (CONV, Decomposition("original", (4,)), r"takes 0 rank\(s\), not 1"),
        (CONV, Decomposition("channel_svd", (4,), 2), "no groups, but 2"),
        (CONV, Decomposition("magic", (4,)), "unknown kind 'magic'; known are original, svd,"),
        (CONV, Decomposition("svd", (4,)), "svd does not apply .* kernel larger than 1x1"),
        (POINTWISE, Decomposition("spatial_svd", (4,)), "spatial_svd does not apply .* 1x1 kernel"),
        (POINTWISE, Decomposition("channel_svd", (4,)), "1x1 kernel"),
        (POINTWISE, Decomposition("tucker2", (4, 4)), "1x1 kernel"),
        (LINEAR, Decomposition("channel_svd", (4,)), "linear layer"),
        (replace(CONV, kernel_size=(3, 1)), Decomposition("spatial_svd", (4,)), "single row or"),
        (replace(CONV, groups=2), Decomposition("branched_tucker", (4, 4), 2), "grouped convol"),
        (replace(CONV, groups=16), Decomposition("channel_svd", (16,)), "depthwise convolution"),
        (replace(CONV, groups=16), Decomposition("spatial_svd", (16,)), "depthwise convolution"),
        (replace(CONV, groups=16), Decomposition("cp", (16,)), "depthwise convolution"),
        (replace(POINTWISE, groups=16), Decomposition("svd", (16,)), "depthwise convolution"),
        (POINTWISE, Decomposition("input_svd", (4,)), "1x1 kernel"),
        (POINTWISE, Decomposition("branched_tucker", (4, 4), 2), "1x1 kernel"),
        (LINEAR, Decomposition("cp", (4,)), "linear layer"),
    ],
)
def test_refusals(spec: LayerSpec, decomposition: Decomposition, words: str) -> None:
    weight = np.ones(spec.weight_shape, dtype=np.float32)
    bias = np.ones(spec.out_channels, dtype=np.float32)
    with pytest.raises(LayerError, match=words) as refusal:
        lower(spec, decomposition)
    assert "\n" not in str(refusal.value)
    with pytest.raises(LayerError, match=words):
        factor(spec, decomposition, weight, bias)
    with pytest.raises(LayerError, match=words):
        layer_error(spec, decomposition, weight)


def test_full_ranks_of_a_kind_that_does_not_apply_are_refused() -> None:
    for kind, words in (("svd", "kernel larger than 1x1"), ("magic", "unknown kind 'magic'")):
        with pytest.raises(LayerError, match=words):
            full_ranks(CONV, kind)


def test_bad_numbers_are_refused() -> None:
    weight, bias = np.ones(LINEAR.weight_shape), np.ones(32)
    wanted = Decomposition("svd", (4,))
    with pytest.raises(LayerError, match=r"weight has shape \(32, 15\)"):
        factor(LINEAR, wanted, weight[:, 1:], bias)
    with pytest.raises(LayerError, match=r"weight has shape \(33, 16\)"):
        factor(LINEAR, wanted, np.ones((33, 16)), bias)
    with pytest.raises(LayerError, match=r"bias has shape \(31,\)"):
        factor(LINEAR, wanted, weight, bias[1:])
    with pytest.raises(LayerError, match="weight holds values that are not finite"):
        factor(LINEAR, wanted, weight * np.nan, bias)
    with pytest.raises(LayerError, match="bias holds values that are not finite"):
        factor(LINEAR, wanted, weight, bias * np.inf)
    with pytest.raises(LayerError, match="has a bias, but none was given"):
        factor(LINEAR, wanted, weight, None)
    with pytest.raises(LayerError, match="a bias was given for a layer without one"):
        factor(replace(LINEAR, bias=False), wanted, weight, bias)
    with pytest.raises(LayerError, match="dtype 'float9'"):
        factor(replace(LINEAR, dtype="float9"), wanted, weight.astype(np.float32), bias)


def test_bad_moments_are_refused() -> None:
    weight, wanted = np.ones(LINEAR.weight_shape), Decomposition("svd", (4,))
    moments = Moments.from_outputs(np.eye(31))
    with pytest.raises(LayerError, match="31 channels for a layer with 32"):
        layer_error(LINEAR, wanted, weight, moments)
    fitting = Moments.from_outputs(np.eye(32))
    for shrinkage in (-0.1, 1.1, float("nan")):
        with pytest.raises(LayerError, match="shrinkage must be between 0 and 1"):
            layer_error(LINEAR, wanted, weight, fitting, shrinkage)


def test_a_curve_needs_one_rank() -> None:
    with pytest.raises(LayerError, match="tucker2 has 2 ranks"):
        factorizer(CONV, "tucker2", np.ones(CONV.weight_shape)).errors_by_rank()


def test_a_factorizer_checks_ranks_too() -> None:
    made = factorizer(LINEAR, "svd", np.ones(LINEAR.weight_shape), np.ones(32))
    for verb in (made.at, made.error, made.estimate):
        with pytest.raises(LayerError, match="outside 1 to 16"):
            verb((17,))


def test_full_rank_of_input_svd_is_what_either_side_has() -> None:
    few_outputs = LayerSpec("conv2d", 64, 4, (64, 9, 9), (3, 3))
    assert full_ranks(few_outputs, "input_svd") == (4 * 3 * 3,)
    assert full_ranks(replace(few_outputs, out_channels=64), "input_svd") == (64,)


def test_moments_that_are_wanted() -> None:
    """Of patches up to 4608 values (512 channels, 3x3), and of no grouped layer."""
    wide = LayerSpec("conv2d", 512, 8, (512, 9, 9), (3, 3))
    assert moments_wanted(wide, "tucker2") == "patches"
    assert moments_wanted(replace(wide, in_channels=513, input_shape=(513, 9, 9)), "tucker2") == ""
    assert moments_wanted(replace(wide, groups=2), "tucker2") == ""


def test_kinds_that_take_long_are_asked_for_by_name() -> None:
    slow = {name for name, kind in KINDS.items() if not kind.by_default}
    assert slow == {"branched_tucker", "cp"}


def test_a_curve_over_two_ranks_begins_with_the_first() -> None:
    weight = np.random.default_rng(0).standard_normal((9, 7, 3, 3))
    spec = LayerSpec("conv2d", 7, 9, (7, 9, 9), (3, 3), bias=False)
    fit = Moments.from_outputs(np.random.default_rng(1).standard_normal((99, 63)))
    curve = factorizer(spec, "tucker2", weight, None, fit).error_curve()
    assert [axis.tolist() for axis in curve.axes] == [list(range(1, 8)), list(range(1, 10))]
