"""Which of the states that training looks at is kept."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.models.compared import Compared
from rankwise.training.selection import Selection

WANTED = np.random.default_rng(1).standard_normal((8, 5)).astype(np.float32)
OFF = np.random.default_rng(0).standard_normal(WANTED.shape)
LESS = np.where(np.arange(8)[:, None] % 2, 0.4, 0.7) * OFF  # 0.57 in all
OTHER = np.where(np.arange(8)[:, None] % 2, 0.7, 0.45) * OFF  # 0.59


def started() -> Selection:
    return Selection({"output": WANTED}, Compared.whole(["output"]), 8)


def look(selection: Selection, off: np.ndarray, trained: bool = True) -> tuple[float, bool]:
    return selection.look({"output": (WANTED + off).astype(np.float32)}, trained)


def test_the_last_state_as_good_as_the_best_is_kept() -> None:
    """Errors of eight pictures; the best look is the second one."""
    selection = started()
    kept = [look(selection, off)[1] for off in (OFF, LESS, OTHER, 0.8 * OFF, 1.1 * OFF)]
    assert kept == [True, True, True, False, False]
    assert selection.stale == 2
    assert selection.error_before == pytest.approx(float(np.linalg.norm(OFF) / norm()), rel=1e-5)
    assert selection.best_error == pytest.approx(float(np.linalg.norm(OTHER) / norm()), rel=1e-5)


def test_statistics_are_kept_for_a_lower_error_only() -> None:
    selection = started()
    look(selection, OFF)
    least, _ = look(selection, LESS)
    assert not look(selection, OTHER, trained=False)[1]
    assert selection.best_error == least
    error, kept = look(selection, OTHER)
    assert kept
    assert error == selection.best_error > least


def test_no_worse_than_the_start() -> None:
    """Within the standard error of the best, but above the first look."""
    selection = started()
    look(selection, LESS)
    assert not look(selection, OTHER)[1]


def test_it_goes_on_from_its_notes() -> None:
    one, two = started(), started()
    look(one, OFF)
    look(one, LESS)
    two.restore(one.notes())
    for off in (OTHER, 0.8 * OFF, 0.1 * OFF):
        assert look(one, off) == look(two, off)
    assert one.notes() == two.notes()


def norm() -> float:
    return float(np.linalg.norm(WANTED))
