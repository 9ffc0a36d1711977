"""Tucker-2 against tensorly's partial Tucker decomposition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankwise.lowrank import Factorizer, factor, factorizer, full_ranks
from rankwise.records import Decomposition, LayerSpec

tensorly = pytest.importorskip("tensorly")
# tensorly says so where a rank is above what the projected core can use: not ours to mend
pytestmark = pytest.mark.filterwarnings("ignore:Trying to compute SVD:UserWarning")


def spec_of(weight: NDArray[np.float64]) -> LayerSpec:
    c_out, c_in, kh, kw = weight.shape
    return LayerSpec("conv2d", c_in, c_out, (c_in, 9, 9), (kh, kw), bias=False)


def taken_apart(weight: NDArray[np.float64]) -> Factorizer:
    return factorizer(spec_of(weight), "tucker2", weight)


def tensorly_error(weight: NDArray[np.float64], rank_in: int, rank_out: int) -> float:
    from tensorly.decomposition import partial_tucker

    (core, (u_out, u_in)), _ = partial_tucker(
        weight, rank=[rank_out, rank_in], modes=[0, 1], n_iter_max=50, tol=1e-4
    )
    rebuilt = np.einsum("oihw,po,ci->pchw", core, u_out, u_in)
    return float(np.linalg.norm(weight - rebuilt) / np.linalg.norm(weight))


@dataclass(frozen=True)
class Case:
    """Drawn numbers, short to print, that name a weight and ranks."""

    shape: tuple[int, int, int, int]
    pace: float
    seed: int
    ranks: tuple[int, int]

    @property
    def weight(self) -> NDArray[np.float64]:
        return weight_of(self.shape, self.pace, self.seed)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kernel = draw(st.sampled_from([(3, 3), (1, 3), (2, 2), (5, 1)]))
    shape = (draw(st.integers(2, 14)), draw(st.integers(2, 14)), *kernel)
    full_in, full_out = full_ranks(spec_of(np.empty(shape)), "tucker2")
    ranks = (draw(st.integers(1, full_in)), draw(st.integers(1, full_out)))
    return Case(shape, draw(st.sampled_from([1.0, 0.9, 0.6])), draw(st.integers(0, 999)), ranks)


def weight_of(shape: tuple[int, int, int, int], pace: float, seed: int) -> NDArray[np.float64]:
    """A weight whose spectra fall at a pace from flat (1) to steep."""
    c_out, c_in, *kernel = shape
    rng = np.random.default_rng(seed)
    core = rng.standard_normal((c_out, c_in, *kernel))
    core *= (pace ** np.arange(c_out))[:, None, None, None]
    core *= (pace ** np.arange(c_in))[None, :, None, None]
    mix_out = np.linalg.qr(rng.standard_normal((c_out, c_out)))[0]
    mix_in = np.linalg.qr(rng.standard_normal((c_in, c_in)))[0]
    return np.einsum("oihw,po,ci->pchw", core, mix_out, mix_in)


@given(cases())
@settings(max_examples=60)
def test_as_good_as_tensorly(case: Case) -> None:
    ours = taken_apart(case.weight).error(case.ranks)
    assert ours <= 1.001 * tensorly_error(case.weight, *case.ranks) + 1e-7


def test_as_good_as_tensorly_at_a_real_size() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 48, 3, 3))
    for ranks in ((8, 8), (24, 32), (40, 10)):
        assert taken_apart(weight).error(ranks) <= 1.001 * tensorly_error(weight, *ranks)


@pytest.mark.slow
def test_as_good_as_tensorly_on_trained_weights(
    real_weights: list[NDArray[np.float64]],
) -> None:
    for number, weight in enumerate(real_weights[:10]):
        c_out, c_in = weight.shape[:2]
        share = (0.125, 0.25, 0.5)[number % 3]
        ranks = (max(1, int(share * c_in)), max(1, int(share * c_out)))
        ours, theirs = taken_apart(weight).error(ranks), tensorly_error(weight, *ranks)
        assert ours <= 1.001 * theirs, (weight.shape, ranks)


@given(cases())
@settings(max_examples=40)
def test_the_error_is_that_of_the_weights(case: Case) -> None:
    weight, ranks = case.weight, case.ranks
    made = taken_apart(weight)
    first, core, last = (link.weight for link in made.at(ranks))
    rebuilt = np.einsum("icxy,oihw,poxy->pchw", first, core, last)
    direct = np.linalg.norm(weight - rebuilt) / np.linalg.norm(weight)
    assert made.error(ranks) == pytest.approx(direct, abs=1e-12)


@given(cases())
@settings(max_examples=40)
def test_the_estimate_is_the_truncated_hosvd_and_bounds_the_error(case: Case) -> None:
    weight, (rank_in, rank_out) = case.weight, case.ranks
    u_out = np.linalg.svd(weight.reshape(len(weight), -1), full_matrices=False)[0][:, :rank_out]
    rows_in = weight.transpose(1, 0, 2, 3).reshape(weight.shape[1], -1)
    u_in = np.linalg.svd(rows_in, full_matrices=False)[0][:, :rank_in]
    rebuilt = np.einsum("oihw,oa,pa,ib,cb->pchw", weight, u_out, u_out, u_in, u_in, optimize=True)
    direct = np.linalg.norm(weight - rebuilt) / np.linalg.norm(weight)
    made = taken_apart(weight)
    assert made.estimate((rank_in, rank_out)) == pytest.approx(direct, abs=1e-7)
    assert made.error((rank_in, rank_out)) <= made.estimate((rank_in, rank_out)) + 1e-7


def test_a_tensor_of_low_multilinear_rank_is_recovered() -> None:
    rng = np.random.default_rng(1)
    weight = np.einsum(
        "oihw,po,ci->pchw",
        rng.standard_normal((3, 2, 3, 3)),
        rng.standard_normal((10, 3)),
        rng.standard_normal((8, 2)),
    )
    assert taken_apart(weight).error((2, 3)) < 1e-12


def test_outer_links_are_orthonormal() -> None:
    weight = np.random.default_rng(0).standard_normal((10, 8, 3, 3))
    first, _, last = factor(spec_of(weight), Decomposition("tucker2", (4, 5)), weight)
    np.testing.assert_allclose(
        first.weight[:, :, 0, 0] @ first.weight[:, :, 0, 0].T, np.eye(4), atol=1e-12
    )
    np.testing.assert_allclose(
        last.weight[:, :, 0, 0].T @ last.weight[:, :, 0, 0], np.eye(5), atol=1e-12
    )


def test_more_output_rank_than_the_core_can_use_is_allowed() -> None:
    """r_out above r_in * kh * kw wastes work, but computes the same thing."""
    weight = np.random.default_rng(0).standard_normal((12, 4, 1, 3))
    made = taken_apart(weight)
    assert made.error((1, 9)) == pytest.approx(made.error((1, 3)), abs=1e-9)
