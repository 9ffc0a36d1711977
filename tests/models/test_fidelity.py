from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr, softmax

from rankwise.errors import UsageError
from rankwise.models.fidelity import kl_divergence, measures, psnr, relative_error, top1_agreement

# Squares of smaller numbers than these lose digits, or all of them.
numbers = st.floats(-100, 100).map(lambda number: number if abs(number) > 1e-100 else 0.0)
values = arrays(np.float64, (3, 4), elements=numbers)


@given(values, values)
def test_relative_error_is_the_ratio_of_norms(reference, outputs):
    norm, difference = (
        math.sqrt((reference**2).sum()),
        math.sqrt(((outputs - reference) ** 2).sum()),
    )
    if norm:
        assert relative_error(reference, outputs) * norm == pytest.approx(difference)


@given(values, st.floats(0.1, 10))
def test_scaling_both_changes_nothing(reference, factor):
    outputs = reference + 1
    assert relative_error(factor * reference, factor * outputs) == pytest.approx(
        relative_error(reference, outputs)
    )


def test_known_numbers():
    reference, outputs = np.array([[3.0, 4.0]]), np.array([[3.0, 4.5]])
    assert relative_error(reference, outputs) == pytest.approx(0.1)
    assert psnr(np.zeros(4), np.full(4, 0.1)) == pytest.approx(20.0)
    assert psnr(np.zeros(4), np.full(4, 25.5), peak=255) == pytest.approx(20.0)
    assert psnr(outputs, outputs) == math.inf
    assert top1_agreement(np.eye(4), np.eye(4)[[0, 1, 3, 2]]) == 0.5


def test_numbers_that_are_not_finite():
    reference = np.ones((2, 2))
    for bad in (np.nan, np.inf):
        outputs = np.full((2, 2), bad)
        assert relative_error(reference, outputs) == math.inf
        assert psnr(reference, outputs) == -math.inf
    assert relative_error(np.zeros(2), np.ones(2)) == math.inf
    assert relative_error(np.zeros(2), np.zeros(2)) == 0


def test_fidelity_says_what_applies():
    reference = np.array([[0.0, 1.0], [1.0, 0.0]])
    found = measures(reference, np.array([[0.0, 1.0], [0.25, 0.5]]))
    assert found["top1_agreement"] == 0.5
    assert found["max_abs_error"] == 0.75
    assert found["relative_error"] == pytest.approx(math.sqrt(0.8125 / 2))
    assert found["psnr"] == pytest.approx(10 * math.log10(4 / 0.8125))
    assert "psnr" not in measures(reference, reference)
    assert "top1_agreement" not in measures(reference[:, :1], reference[:, :1])
    assert "top1_agreement" not in measures(np.ones((1, 3, 2, 2)), np.ones((1, 3, 2, 2)))


def test_shapes_that_differ_or_nothing():
    with pytest.raises(UsageError, match="compared"):
        relative_error(np.ones(3), np.ones((3, 1)))
    with pytest.raises(UsageError, match="no outputs"):
        measures(np.ones((0, 2)), np.ones((0, 2)))


@given(values, values)
def test_divergence_is_scipys_of_the_softmax(reference, outputs):
    p, q = softmax(reference, axis=1), softmax(outputs, axis=1)
    expected = rel_entr(p, q).sum(axis=1).mean()
    assert kl_divergence(reference, outputs) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    if q.min() > 1e-12:
        assert kl_divergence(p, q) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_divergence_from_the_impossible():
    certain, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert kl_divergence(certain, certain) == 0
    assert kl_divergence(certain, other) == math.inf
    assert "kl_divergence" not in measures(certain, other)
    assert kl_divergence(certain, np.array([[np.nan, 1.0]])) == math.inf
