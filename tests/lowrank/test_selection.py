"""Which shrinkage is taken, and that it is measured on other pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import LayerError
from rankwise.lowrank import Moments, Shrinkage, factor, factorizer
from rankwise.lowrank.selection import INPUT_SHRINKAGES, downhill
from rankwise.records import Decomposition, LayerSpec

LINEAR = LayerSpec("linear", 12, 9, (12,))


def outputs(weight: np.ndarray, bias: np.ndarray, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((12, 12)) * 0.6 ** np.arange(12)
    inputs = rng.standard_normal((count, 12)) @ mixing.T + 0.5
    return inputs @ weight.T + bias


AMOUNTS = [Shrinkage(amount) for amount in INPUT_SHRINKAGES]


@given(st.permutations(range(len(AMOUNTS))))
def test_downhill_never_ends_higher_than_it_began(scores: list[int]) -> None:
    seen: dict[Shrinkage, int] = dict(zip(AMOUNTS, scores, strict=True))
    found, made = downhill(AMOUNTS, lambda amount: (seen[amount], amount))
    assert made == found
    assert seen[found] <= seen[AMOUNTS[2]]


@given(st.integers(0, len(AMOUNTS) - 1))
def test_downhill_finds_the_bottom_of_a_valley(bottom: int) -> None:
    seen = {amount: abs(i - bottom) for i, amount in enumerate(AMOUNTS)}
    assert downhill(AMOUNTS, lambda amount: (seen[amount], amount))[0] == AMOUNTS[bottom]


@given(st.integers(0, 30), st.integers(1, 300), st.integers(1, 9))
def test_never_worse_than_the_weights_alone_on_held_out_outputs(
    seed: int, count: int, rank: int
) -> None:
    rng = np.random.default_rng(seed)
    weight, bias = rng.standard_normal((9, 12)), rng.standard_normal(9)
    fit = Moments.from_outputs(outputs(weight, bias, count, seed))
    others = outputs(weight, bias, 200, seed + 1)
    made = factorizer(LINEAR, "svd", weight, bias, fit, held_out=Moments.from_outputs(others))

    def lost(links) -> float:
        first, last = links
        whole = last.weight @ first.weight
        # what the inputs were does not matter: outputs are W x + b
        inputs = np.linalg.lstsq(weight, (others - bias).T, rcond=None)[0].T
        off = others - (inputs @ whole.T + last.bias)
        return float(np.linalg.norm(off) / np.linalg.norm(others - others.mean(axis=0)))

    found = lost(made.at((rank,)))
    assert made.error((rank,)) == pytest.approx(found, abs=1e-6)
    assert found <= lost(factor(LINEAR, Decomposition("svd", (rank,)), weight, bias)) + 1e-9
    assert not made.error_curve().estimated


def test_data_help_where_there_are_enough() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((9, 12)), rng.standard_normal(9)
    fit, others = (Moments.from_outputs(outputs(weight, bias, 500, seed)) for seed in (1, 2))
    made = factorizer(LINEAR, "svd", weight, bias, fit, held_out=others)
    assert made.shrinkage_at((3,)) in AMOUNTS
    plain = factorizer(LINEAR, "svd", weight, bias, fit, 1.0)
    assert made.error((3,)) < 0.8 * plain.error((3,))


def test_full_rank_is_the_weights_own() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((9, 12)), rng.standard_normal(9)
    fit, others = (Moments.from_outputs(outputs(weight, bias, 500, seed)) for seed in (1, 2))
    made = factorizer(LINEAR, "svd", weight, bias, fit, held_out=others)
    first, last = made.at((9,))
    np.testing.assert_allclose(last.weight @ first.weight, weight, atol=1e-9)
    np.testing.assert_allclose(last.bias, bias, atol=1e-9)


def test_the_bias_is_needed_to_judge_outputs() -> None:
    moments = Moments.from_outputs(np.eye(9))
    with pytest.raises(LayerError, match="has a bias, but none was given"):
        factorizer(LINEAR, "svd", np.ones((9, 12)), None, moments, held_out=moments)


def test_of_equal_shrinkages_the_middle_stays() -> None:
    assert downhill(AMOUNTS, lambda amount: (1, amount))[0] == AMOUNTS[(len(AMOUNTS) - 1) // 2]
