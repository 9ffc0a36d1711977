"""What factors are said to lose, against what they lose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankwise.lowrank import Moments, factor, factorizer, full_ranks, layer_error
from rankwise.ops.chain import LinkWeights
from rankwise.records import ORIGINAL, Decomposition, LayerSpec

CONV = LayerSpec("conv2d", 4, 9, (4, 9, 9), (3, 3), padding=(1, 1, 1, 1))
POINTWISE = LayerSpec("conv2d", 4, 9, (4, 9, 9))
LINEAR = LayerSpec("linear", 12, 9, (12,))
ONE_RANK = [
    (CONV, "channel_svd"),
    (CONV, "spatial_svd"),
    (POINTWISE, "svd"),
    (LINEAR, "svd"),
]


def random_weight(spec: LayerSpec, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(spec.weight_shape)


def random_moments(channels: int, count: int, seed: int = 0) -> Moments:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((channels, channels)) * 0.5 ** np.arange(channels)
    offset = rng.standard_normal(channels)
    return Moments.from_outputs(rng.standard_normal((count, channels)) @ mixing.T + offset)


def rebuilt(spec: LayerSpec, kind: str, links: tuple[LinkWeights, ...]) -> NDArray[np.float64]:
    """The weight that the chain amounts to."""
    ws = [link.weight for link in links]
    if spec.op == "linear":
        return ws[1] @ ws[0]
    if kind == "spatial_svd":
        return np.einsum("rchx,orxw->ochw", *ws)
    if kind == "tucker2":
        return np.einsum("icxy,oihw,poxy->pchw", *ws)
    return np.einsum("rchw,orxy->ochw", *ws)


@pytest.mark.parametrize(("spec", "kind"), ONE_RANK)
def test_the_curve_is_the_frobenius_error_at_every_rank(spec: LayerSpec, kind: str) -> None:
    weight = random_weight(spec)
    curve = factorizer(spec, kind, weight).errors_by_rank()
    (full,) = full_ranks(spec, kind)
    assert curve.shape == (full + 1,)
    assert curve[0] == 1
    assert curve[-1] == pytest.approx(0, abs=1e-12)
    assert (np.diff(curve) <= 0).all()
    bias = np.zeros(spec.out_channels)
    for rank in range(1, full + 1):
        wanted = Decomposition(kind, (rank,))
        lost = weight - rebuilt(spec, kind, factor(spec, wanted, weight, bias))
        direct = np.linalg.norm(lost) / np.linalg.norm(weight)
        assert curve[rank] == pytest.approx(direct, abs=1e-9)
        assert layer_error(spec, wanted, weight) == curve[rank]


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shrinkage", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("c_in", [12, 5])
def test_the_data_aware_curve_is_the_lost_output(
    has_bias: bool, shrinkage: float | None, c_in: int
) -> None:
    """Against outputs computed from inputs, not against moments."""
    spec = LayerSpec("linear", c_in, 9, (c_in,), bias=has_bias)
    rng = np.random.default_rng(3)
    weight, inputs = random_weight(spec), rng.standard_normal((30, c_in)) + 0.3
    bias = rng.standard_normal(9) if has_bias else None
    outputs = inputs @ weight.T + (0 if bias is None else bias)
    moments = Moments.from_outputs(outputs)
    curve = factorizer(spec, "svd", weight, None, moments, shrinkage).errors_by_rank()
    whole = outputs - (outputs.mean(axis=0) if has_bias else 0)
    for rank in range(1, len(curve)):
        wanted = Decomposition("svd", (rank,))
        first, last = factor(spec, wanted, weight, bias, moments, shrinkage)
        got = inputs @ first.weight.T @ last.weight.T + (0 if last.bias is None else last.bias)
        direct = np.linalg.norm(outputs - got) / np.linalg.norm(whole)
        assert curve[rank] == pytest.approx(direct, abs=1e-7)
        assert layer_error(spec, wanted, weight, moments, shrinkage) == curve[rank]
    assert curve[0] == 1


@given(st.integers(0, 50), st.integers(1, 200), st.booleans(), st.sampled_from([None, 0, 0.4]))
@settings(max_examples=50)
def test_data_help_on_their_own_moments(
    seed: int, count: int, has_bias: bool, shrinkage: float | None
) -> None:
    """Weight-only directions, measured by the same moments, never lose less."""
    spec = LayerSpec("linear", 12, 9, (12,), bias=has_bias)
    weight, moments = random_weight(spec, seed), random_moments(9, count, seed)
    aware = factorizer(spec, "svd", weight, None, moments, shrinkage).errors_by_rank()
    plain = factorizer(spec, "svd", weight, None, moments, shrinkage=1.0).errors_by_rank()
    assert (aware <= plain + 1e-7).all()


def test_the_original_loses_nothing() -> None:
    assert layer_error(CONV, ORIGINAL, random_weight(CONV)) == 0


@pytest.mark.parametrize(("spec", "kind"), [*ONE_RANK, (CONV, "tucker2")])
def test_a_zero_layer_has_nothing_to_lose(spec: LayerSpec, kind: str) -> None:
    ranks = tuple(1 for _ in full_ranks(spec, kind))
    weight, bias = np.zeros(spec.weight_shape), np.ones(spec.out_channels)
    assert layer_error(spec, Decomposition(kind, ranks), weight) == 0
    made = factor(spec, Decomposition(kind, ranks), weight, bias)
    assert not rebuilt(spec, kind, made).any()
    np.testing.assert_array_equal(made[-1].bias, bias)


def test_constant_outputs_and_no_outputs_fall_back_to_the_weights() -> None:
    weight = random_weight(LINEAR)
    plain = factorizer(LINEAR, "svd", weight, np.zeros(9))
    constant = Moments.from_outputs(np.zeros((5, 9)))
    for moments in (constant, Moments.zeros(9)):
        made = factorizer(LINEAR, "svd", weight, np.zeros(9), moments)
        np.testing.assert_allclose(made.at((3,))[1].weight, plain.at((3,))[1].weight, atol=1e-9)
    assert factorizer(LINEAR, "svd", weight, None, constant).error((3,)) == 0


def test_the_estimate_of_one_rank_kinds_is_the_error() -> None:
    made = factorizer(CONV, "channel_svd", random_weight(CONV))
    assert made.estimate((4,)) == made.error((4,))
