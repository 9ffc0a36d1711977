"""Moments: sums that can be taken in any portions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankwise.errors import LayerError
from rankwise.lowrank import Moments, default_shrinkage


@given(st.integers(0, 99), st.lists(st.integers(1, 40), min_size=1, max_size=5))
@settings(max_examples=40)
def test_portions_merge_to_the_whole(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((sum(sizes), 4)) + 3
    merged = Moments.zeros(4)
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        merged = merged.merge(Moments.from_outputs(part.astype(np.float64)))
    assert merged.count == len(rows)
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.second, rows.T @ rows / len(rows), rtol=1e-12)
    np.testing.assert_allclose(merged.covariance, np.cov(rows.T, bias=True), atol=1e-10)


def test_nothing_merges_with_nothing() -> None:
    nothing = Moments.zeros(3)
    assert nothing.merge(nothing).count == 0


def test_arrays_and_back() -> None:
    moments = Moments.from_outputs(np.random.default_rng(0).standard_normal((9, 3)))
    back = Moments.from_arrays(moments.to_arrays())
    assert back.count == moments.count
    np.testing.assert_array_equal(back.mean, moments.mean)
    np.testing.assert_allclose(back.second, moments.second, rtol=1e-6)
    assert back.second.dtype == np.float64
    again = Moments.from_arrays(back.to_arrays())
    np.testing.assert_array_equal(again.second, back.second)


def test_moments_about_a_point() -> None:
    rows = np.random.default_rng(0).standard_normal((9, 3)) + 2
    centre = np.array([1.0, 0.0, -1.0])
    expected = (rows - centre).T @ (rows - centre) / 9
    np.testing.assert_allclose(Moments.from_outputs(rows).about(centre), expected, atol=1e-12)


def test_float32_outputs_give_float64_moments() -> None:
    moments = Moments.from_outputs(np.ones((5, 3), dtype=np.float32))
    assert moments.mean.dtype == moments.second.dtype == np.float64


def test_shrinkage_falls_with_data() -> None:
    def amount(count: int) -> float:
        return default_shrinkage(Moments(np.zeros(64), np.eye(64), count))

    assert amount(0) == 1
    assert amount(64) == 0.5
    assert amount(150_000) < 0.001


def test_refusals() -> None:
    with pytest.raises(LayerError, match="not finite"):
        Moments.from_outputs(np.array([[1.0, np.nan]]))
    with pytest.raises(LayerError, match="n >= 1"):
        Moments.from_outputs(np.zeros((0, 3)))
    with pytest.raises(LayerError, match="n >= 1"):
        Moments.from_outputs(np.zeros(3))
    with pytest.raises(LayerError, match="do not fit"):
        Moments(np.zeros(3), np.eye(4), 1)
    with pytest.raises(LayerError, match="3 and 4 channels"):
        Moments.zeros(3).merge(Moments.zeros(4))


def test_moments_about_a_point_are_made_once_and_cannot_be_changed() -> None:
    moments = Moments.from_outputs(np.random.default_rng(0).standard_normal((9, 3)) + 2)
    centre = np.array([1.0, 0.0, -1.0])
    first = moments.about(centre)
    assert moments.about(centre.copy()) is first
    with pytest.raises(ValueError, match="read-only"):
        first += 1
    for other in range(3):  # two are kept
        moments.about(centre + other + 1)
    again = moments.about(centre)
    assert again is not first
    np.testing.assert_array_equal(again, first)
