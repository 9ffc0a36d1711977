"""Least squares on normal equations."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from rankwise.lowrank.algebra import least_squares


def test_it_solves() -> None:
    rows = np.random.default_rng(0).standard_normal((20, 4))
    gram, wanted = rows.T @ rows, np.arange(8.0).reshape(4, 2)
    assert_allclose(least_squares(gram, gram @ wanted), wanted, rtol=1e-9, atol=1e-9)


def test_directions_that_are_alike_share_what_they_explain() -> None:
    gram = np.ones((3, 3))
    found = least_squares(gram, np.full((3, 2), 6.0))
    assert_allclose(found, np.full((3, 2), 2.0), rtol=1e-3)


def test_nothing_explains_nothing() -> None:
    assert not least_squares(np.zeros((3, 3)), np.zeros((3, 2))).any()
