"""Branched Tucker: what its branches are worth, against what bounds them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankwise.lowrank import Factorizer, factorizer, full_ranks
from rankwise.lowrank.kinds import start_of
from rankwise.lowrank.output_error import effective_weight
from rankwise.records import LayerSpec


def taken_apart(
    weight: NDArray[np.float64], branches: int, kind: str = "branched_tucker"
) -> Factorizer:
    c_out, c_in, kh, kw = weight.shape
    spec = LayerSpec("conv2d", c_in, c_out, (c_in, 9, 9), (kh, kw), bias=False)
    return factorizer(spec, kind, weight, groups=branches)


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4]), st.data())
@settings(max_examples=40)
def test_between_tucker_at_the_same_ranks_and_at_one_branch_s(
    seed: int, branches: int, data: st.DataObject
) -> None:
    """A core in branches is a Tucker core with zeros: never better than a full one. One branch
    alone is a Tucker of its ranks: never better than all."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((*rng.integers(4, 14, 2), 3, 2))
    made, whole = taken_apart(weight, branches), taken_apart(weight, 1, "tucker2")
    limits = full_ranks(made.spec, "tucker2")
    ranks = tuple(branches * data.draw(st.integers(1, limit)) for limit in limits)
    one = tuple(rank // branches for rank in ranks)
    error = made.error(ranks)
    assert error <= whole.error(one) + 1e-6
    assert error <= made.estimate(ranks) + 1e-9
    if all(rank <= limit for rank, limit in zip(ranks, limits, strict=True)):
        assert error >= 0.995 * whole.error(ranks) - 1e-9  # HOOI may stop above its best


def test_planted_branches_are_found() -> None:
    rng = np.random.default_rng(2)
    parts = [
        np.einsum(
            "ohwi,po,ci->pchw",
            rng.standard_normal((2, 3, 3, 2)),
            rng.standard_normal((16, 2)),
            rng.standard_normal((12, 2)),
        )
        for _ in range(2)
    ]
    weight = parts[0] + parts[1]
    assert taken_apart(weight, 2).error((4, 4)) < 0.1
    assert taken_apart(weight, 1, "tucker2").error((2, 2)) > 0.3


def test_one_branch_is_tucker() -> None:
    weight = np.random.default_rng(0).standard_normal((9, 7, 3, 3))
    for ranks in ((2, 3), (7, 9), (5, 1)):
        tucker = taken_apart(weight, 1, "tucker2").error(ranks)
        assert taken_apart(weight, 1).error(ranks) == pytest.approx(tucker, rel=2e-3, abs=1e-9)


def test_nothing_becomes_nothing() -> None:
    made = taken_apart(np.zeros((6, 4, 3, 3)), 2)
    assert made.error((2, 2)) == made.estimate((2, 2)) == 0
    assert not any(link.weight.any() for link in made.at((2, 2))[1:2])


@given(st.integers(0, 10_000), st.sampled_from([(2, 2), (2, 4), (4, 2), (4, 4), (6, 6)]))
@settings(max_examples=30)
def test_the_estimate_is_the_start_s_error(seed: int, ranks: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    scales = 0.6 ** np.arange(8)
    weight = rng.standard_normal((8, 8, 3, 3)) * scales[:, None, None, None] * scales[:, None, None]
    made = taken_apart(weight, 2)
    lost = weight.reshape(8, -1) - effective_weight(start_of(made.factorization, ranks))
    error = np.linalg.norm(lost) / np.linalg.norm(weight)
    assert made.estimate(ranks) == pytest.approx(error, abs=1e-9)
