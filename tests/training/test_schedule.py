"""Budgets, and the rate over them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import UsageError
from rankwise.training.schedule import Budget, cosine


@given(st.floats(0, 1), st.floats(0, 1))
def test_rate_falls_after_the_rise(one, two):
    early, late = sorted([max(one, 0.08), max(two, 0.08)])
    assert 0 < cosine(late) <= cosine(early) <= 1


def test_rate_rises_from_little():
    assert 0 < cosine(0) < 0.2


def test_whichever_budget_ends_first():
    assert Budget(10, 100.0).progress(5, 80.0) == 0.8
    assert Budget(10, None).progress(10, 1e9) == 1
    assert Budget(None, 10.0).progress(10**9, 5.0) == 0.5


@pytest.mark.parametrize(
    "budget",
    [
        Budget(),
        Budget(0),
        Budget(None, 0.0),
        Budget(-1, 5.0),
        Budget(None, math.nan),
        Budget(None, math.inf),
    ],
)
def test_refused(budget):
    with pytest.raises(UsageError, match="--steps"):
        budget.check()
