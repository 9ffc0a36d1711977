"""CP against tensorly's parafac."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankwise.lowrank import Factorizer, factorizer, full_ranks
from rankwise.lowrank.builtin_kinds.cp import MAX_SWEEPS
from rankwise.records import LayerSpec

tensorly = pytest.importorskip("tensorly")


def taken_apart(weight: NDArray[np.float64]) -> Factorizer:
    c_out, c_in, kh, kw = weight.shape
    spec = LayerSpec("conv2d", c_in, c_out, (c_in, 9, 9), (kh, kw), bias=False)
    return factorizer(spec, "cp", weight)


def parafac_error(weight: NDArray[np.float64], rank: int, init: str, seed: int) -> float:
    from tensorly.decomposition import parafac

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of too many terms for its SVD start
        try:
            found = parafac(weight, rank, n_iter_max=MAX_SWEEPS, init=init, random_state=seed)
        except ValueError:  # tensorly 0.9 cannot start from an SVD with so many terms
            return 1.0
    lost = weight - tensorly.cp_to_tensor(found)
    return float(np.linalg.norm(lost) / np.linalg.norm(weight))


def best_of_three(weight: NDArray[np.float64], rank: int) -> float:
    starts = (("svd", 0), ("random", 0), ("random", 1))
    return min(parafac_error(weight, rank, *start) for start in starts)


def random_weight(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    kernel = [(3, 3), (1, 5), (2, 4), (5, 5), (3, 1)][seed % 5]
    shape = (*rng.integers(3, 25, 2), *kernel)
    return rng.standard_normal(shape) * rng.uniform(0.8, 1.0) ** np.arange(shape[1])[:, None, None]


@pytest.mark.parametrize("seed", range(5))
def test_as_good_as_the_best_of_three_runs_of_tensorly(seed: int) -> None:
    weight = random_weight(seed)
    made = taken_apart(weight)
    (full,) = full_ranks(made.spec, "cp")
    for rank in {1, 3, 8, 20, 32}:
        if rank <= full:
            assert made.error((rank,)) <= 1.01 * best_of_three(weight, rank) + 1e-6, rank


@pytest.mark.slow
def test_as_good_as_tensorly_on_trained_weights(
    real_weights: list[NDArray[np.float64]],
) -> None:
    for weight, rank in zip(real_weights[:8:2], (32, 4, 16, 2), strict=True):
        assert taken_apart(weight).error((rank,)) <= 1.01 * best_of_three(weight, rank)


@given(st.integers(0, 10_000), st.data())
@settings(max_examples=25)
def test_the_estimate_bounds_the_error_and_falls_to_nothing(seed: int, data: st.DataObject) -> None:
    made = taken_apart(random_weight(seed))
    (full,) = full_ranks(made.spec, "cp")
    rank = data.draw(st.integers(1, min(full, 40)))
    assert made.error((rank,)) <= made.estimate((rank,)) + 1e-12
    curve = made.errors_by_rank()
    assert curve[0] == 1
    assert curve[-1] <= 1e-12
    assert (np.diff(curve) <= 0).all()
    estimates = made.error_curve()
    np.testing.assert_array_equal(curve[estimates.axes[0]], estimates.errors)


def test_a_sum_of_few_terms_is_recovered() -> None:
    rng = np.random.default_rng(4)
    sizes = (12, 10, 3, 5)
    weight = np.einsum("ar,br,cr,dr->abcd", *(rng.standard_normal((n, 3)) for n in sizes))
    assert taken_apart(weight).error((3,)) < 1e-3


@pytest.mark.parametrize("scale", [2.0**-10, 2.0**10])
def test_the_error_does_not_depend_on_the_scale_of_the_weight(scale: float) -> None:
    weight = random_weight(0)
    for rank in (3, 8):
        error = taken_apart(weight).error((rank,))
        assert taken_apart(scale * weight).error((rank,)) == pytest.approx(error, rel=1e-6)


def test_the_last_link_carries_the_scale() -> None:
    weight = 1e3 * np.random.default_rng(0).standard_normal((8, 6, 3, 3))
    *first, last = (link.weight for link in taken_apart(weight).at((5,)))
    for link in first:
        lengths = np.linalg.norm(link.reshape(5, -1), axis=1)
        np.testing.assert_allclose(lengths, 1.0, atol=1e-9)
    assert np.linalg.norm(last) > 100
