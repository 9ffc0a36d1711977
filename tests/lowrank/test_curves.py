"""Error curves: between and beyond the grid's points, and as arrays and back."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.lowrank import WEIGHTS_ALONE, ErrorCurve, Shrinkage

AXES = (np.array([2, 4]), np.array([1, 2, 3]))
ERRORS = np.array([[4.0, 3, 2], [2, 1, 0]])


def stored(curve: ErrorCurve) -> ErrorCurve:
    return ErrorCurve.from_arrays(curve.to_arrays())


def test_between_the_points_of_a_curve() -> None:
    curve = ErrorCurve(AXES, ERRORS, estimated=True)
    for one in (curve, stored(curve)):
        assert one.at((2, 1)) == 4
        assert one.at((4, 3)) == 0
        assert one.at((3, 2)) == pytest.approx(2)
        assert one.at((1, 1)) == 4
        assert one.at((9, 9)) == 0
        assert one.estimated


def test_what_factors_are_made_from_is_that_of_the_next_point() -> None:
    ways = (WEIGHTS_ALONE, Shrinkage(0.3), Shrinkage(0.3, 0.03))
    best = np.array([[2, 0, 1], [0, 2, 0]])
    curve = ErrorCurve(AXES, ERRORS, False, ways, best)
    for one in (curve, stored(curve)):
        for (row, column), chosen in np.ndenumerate(best):
            ranks = (int(AXES[0][row]), int(AXES[1][column]))
            assert one.shrinkage_at(ranks) == ways[chosen]
        assert one.shrinkage_at((3, 2)) == ways[2], "the next point is (4, 2)"
        assert one.shrinkage_at((1, 1)) == ways[2], "the first point is (2, 1)"
        assert one.shrinkage_at((9, 9)) == WEIGHTS_ALONE, "the last point is (4, 3)"
        assert one.shrinkage == ways[2]
        assert not one.estimated


def test_a_curve_from_weights_alone_has_no_shrinkage() -> None:
    curve = ErrorCurve(AXES, ERRORS, estimated=True)
    for one in (curve, stored(curve)):
        assert one.shrinkage is None
        assert one.shrinkage_at((2, 1)) == WEIGHTS_ALONE
