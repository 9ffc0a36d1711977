"""Rules that choose ranks, against their definitions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankwise.errors import LayerError
from rankwise.lowrank import factorizer, full_ranks, lower
from rankwise.lowrank.ranks import energy_rank, energy_ranks, pr_rank, quantize, vbmf_ranks, weaken
from rankwise.records import Decomposition, LayerSpec

CONV = LayerSpec("conv2d", 24, 32, (24, 9, 9), (3, 3))
POINTWISE = LayerSpec("conv2d", 24, 32, (24, 9, 9))


@given(st.sampled_from(["channel_svd", "spatial_svd"]), st.floats(1.0, 50.0))
def test_pr_of_one_rank_kinds_solves_the_linear_equation(kind: str, ratio: float) -> None:
    per_rank = {"channel_svd": 24 * 9 + 32, "spatial_svd": 24 * 3 + 32 * 3}[kind]
    wanted = int(24 * 32 * 9 / ratio / per_rank)
    (full,) = full_ranks(CONV, kind)
    assert pr_rank(CONV, kind, ratio) == (min(max(wanted, 1), full),)


@given(st.floats(1.5, 40.0), st.sampled_from([None, 1.0]))
def test_pr_of_tucker_solves_the_quadratic_equation(ratio: float, beta: float | None) -> None:
    """beta*k*k*r^2 + (C_in + beta*C_out)*r = params / ratio, rounded down."""
    b = max(0.8 * 32 / 24, 1) if beta is None else beta
    a, half = b * 9, 24 + b * 32
    root = (-half + math.sqrt(half**2 + 4 * a * 24 * 32 * 9 / ratio)) / (2 * a)
    rank_in, rank_out = pr_rank(CONV, "tucker2", ratio, beta)
    assert rank_in in (int(root), int(root) + 1)  # r_out is rounded down: one more may fit
    assert rank_out == min(int(b * rank_in), 32)
    chain = lower(replace(CONV, bias=False), Decomposition("tucker2", (rank_in, rank_out)))
    assert chain.params <= 24 * 32 * 9 / ratio


def test_pr_is_at_least_one_and_at_most_full() -> None:
    assert pr_rank(CONV, "tucker2", 1e6) == (1, 1)
    assert pr_rank(CONV, "tucker2", 1e-3) == (24, int(0.8 * 32 / 24 * 24))
    assert pr_rank(POINTWISE, "svd", 0.1) == (24,)


def test_pr_of_tucker_has_no_fewer_outputs_than_inputs() -> None:
    narrowing = LayerSpec("conv2d", 32, 24, (32, 9, 9), (3, 3))
    rank_in, rank_out = pr_rank(narrowing, "tucker2", 4.0)
    assert rank_in == rank_out < 24


def test_pr_refusals() -> None:
    for ratio in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(LayerError, match="positive number"):
            pr_rank(CONV, "tucker2", ratio)
    with pytest.raises(LayerError, match="beta"):
        pr_rank(CONV, "tucker2", 2.0, 0.0)
    with pytest.raises(LayerError, match="does not apply"):
        pr_rank(POINTWISE, "tucker2", 2.0)


def test_energy_keeps_enough_and_no_more() -> None:
    weight = np.random.default_rng(0).standard_normal(CONV.weight_shape)
    curve = factorizer(CONV, "channel_svd", weight).errors_by_rank()
    for threshold in (0.01, 0.5, 0.9, 0.999, 1.0):
        rank = energy_rank(curve, threshold)
        assert rank == energy_ranks(CONV, "channel_svd", weight, threshold)[0]
        assert 1 - curve[rank] ** 2 >= threshold - 1e-12
        assert rank == 1 or 1 - curve[rank - 1] ** 2 < threshold
    assert energy_rank(curve, 1.0) == 32
    steps = np.sqrt([1.0, 0.6, 0.3, 0.1, 0.0])
    assert [energy_rank(steps, kept) for kept in (0.3, 0.6, 0.8, 0.95)] == [1, 2, 3, 4]


def test_energy_of_tucker_is_by_unfolding() -> None:
    weight = np.random.default_rng(0).standard_normal(CONV.weight_shape)
    rank_in, rank_out = energy_ranks(CONV, "tucker2", weight, 0.8)
    s = np.linalg.svd(weight.transpose(1, 0, 2, 3).reshape(24, -1), compute_uv=False) ** 2
    assert rank_in == int(np.searchsorted(np.cumsum(s) / s.sum(), 0.8)) + 1
    s = np.linalg.svd(weight.reshape(32, -1), compute_uv=False) ** 2
    assert rank_out == int(np.searchsorted(np.cumsum(s) / s.sum(), 0.8)) + 1


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1, math.nan])
def test_energy_refuses(threshold: float) -> None:
    with pytest.raises(LayerError, match="energy threshold"):
        energy_rank(np.array([1.0, 0.5, 0.0]), threshold)


def test_weakening() -> None:
    assert weaken(100, 40, k=1.0) == 40
    assert weaken(100, 40, k=0.0) == 100
    assert weaken(100, 40, k=0.8) == int(100 - 0.8 * 60)
    assert weaken(100, 5, k=1.0, min_rank=21) == 21
    assert weaken(100, 0, k=1.0) == 100
    assert weaken(21, 5, k=1.0, min_rank=21) == 21
    with pytest.raises(LayerError, match="weakening factor"):
        weaken(100, 40, k=1.5)


def planted() -> NDArray[np.float64]:
    """A weight of `CONV` whose ranks are 4 (in) and 5 (out), with noise."""
    rng = np.random.default_rng(0)
    weight = np.einsum(
        "oihw,po,ci->pchw",
        rng.standard_normal((5, 4, 3, 3)),
        rng.standard_normal((32, 5)),
        rng.standard_normal((24, 4)),
    )
    noise: NDArray[np.float64] = 0.1 * rng.standard_normal(weight.shape)
    return weight + noise


def test_vbmf_ranks_find_what_was_planted() -> None:
    weight = planted()
    assert vbmf_ranks(CONV, "tucker2", weight, k=1.0, min_rank=1) == (4, 5)
    assert vbmf_ranks(CONV, "channel_svd", weight, k=1.0, min_rank=1) == (5,)
    with pytest.raises(LayerError, match="weight has shape"):
        vbmf_ranks(CONV, "tucker2", weight[1:])


def test_vbmf_ranks_are_weakened_as_in_musco() -> None:
    """0.8 of the way from full rank, and at least 21."""
    assert vbmf_ranks(CONV, "tucker2", planted(), k=1.0) == (21, 21)
    wanted = (int(24 - 0.8 * (24 - 4)), int(32 - 0.8 * (32 - 5)))
    assert vbmf_ranks(CONV, "tucker2", planted(), min_rank=1) == wanted


@given(st.integers(1, 600), st.integers(1, 64), st.integers(1, 600))
def test_quantized_ranks(rank: int, quantum: int, full: int) -> None:
    for how in ("nearest", "down", "up"):
        got = quantize(rank, quantum, full, how)
        if full < quantum:
            assert got is None
            continue
        multiples = range(quantum, full + 1, quantum)
        assert got in multiples
        if how == "nearest":
            assert abs(got - rank) == min(abs(m - rank) for m in multiples)
        elif how == "down":
            assert got == max((m for m in multiples if m <= rank), default=quantum)
        else:
            assert got == min((m for m in multiples if m >= rank), default=multiples[-1])


def test_quantizing_a_tie_and_refusals() -> None:
    assert quantize(12, 8, 100) == 16
    assert quantize(5, 2, 100) == 6
    with pytest.raises(LayerError, match="quantum must be"):
        quantize(8, 0, 100)
    with pytest.raises(LayerError, match="not 'sideways'"):
        quantize(8, 4, 100, "sideways")  # type: ignore[arg-type]
