"""Means over sessions on several boards: the textbook's analysis of variance as an oracle, the
coverage of intervals where boards differ, and nothing new where there is one board."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from rankwise import random_effects
from rankwise.random_effects import Floats, Nesting, pool
from rankwise.records import PairSummary
from rankwise.stats import LATER_SHARE, combine, combine_many

TAIL = 0.05
TAU, WITHIN, ROUNDS = 0.005, 0.003, 11.0


def nesting(candidates: int, boards: int, sessions: int) -> Nesting:
    """Equally many of each."""
    each = np.repeat(np.arange(candidates * boards), sessions)
    return Nesting(each, np.repeat(np.arange(candidates), boards))


def pooled(estimates: Floats, variance: float = WITHIN**2) -> tuple[Floats, Floats]:
    """Of estimates of the shape (candidates, boards, sessions)."""
    ones = np.ones(estimates.size)
    where = nesting(*estimates.shape)
    tails = np.full(len(estimates), TAIL)
    return pool(estimates.ravel(), variance * ones, ROUNDS * ones, TAU * ones, where, tails)


@pytest.fixture
def no_priors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_effects, "PRIOR_DF", 0.0)
    monkeypatch.setattr(random_effects, "BOARD_DF", 0.0)


@pytest.mark.usefixtures("no_priors")
@given(
    boards=st.integers(2, 6),
    sessions=st.integers(2, 5),
    sigma=st.sampled_from([0.0, 0.01, 0.1]),
    seed=st.integers(0, 2**31),
)
def test_without_priors_it_is_the_nested_analysis_of_variance(
    boards: int, sessions: int, sigma: float, seed: int
) -> None:
    """Snedecor and Cochran: MSW = tau^2 + v, MSB = n sigma^2 + MSW; the mean's variance is
    MSB / (k n). Where an estimate would be negative it is nothing."""
    rng = np.random.default_rng(seed)
    b, s = rng.normal(0, sigma, (1, boards, 1)), rng.normal(0, 0.01, (1, boards, sessions))
    y, v = 0.3 + b + s, 1e-6
    means = y.mean(axis=2)[0]
    msw = float(np.square(y - y.mean(axis=2, keepdims=True)).sum() / (boards * (sessions - 1)))
    msb = float(sessions * np.square(means - means.mean()).sum() / (boards - 1))
    tau_sq = max(msw - v, 0)
    sigma_sq = max((msb - tau_sq - v) / sessions, 0)
    parts = [
        (sigma_sq / boards, boards - 1),
        (tau_sq / (boards * sessions), boards * (sessions - 1)),
        (v / (boards * sessions), boards * sessions * ROUNDS),
    ]
    variance = sum(part for part, _ in parts)
    df = variance**2 / sum(part**2 / its for part, its in parts)
    centre, half = pooled(y, v)
    assert centre[0] == pytest.approx(float(y.mean()), rel=1e-9)
    if df >= 2:  # below, quantiles are approximate
        wanted = scipy_stats.t.isf(TAIL / 2, df) * math.sqrt(variance)
        assert half[0] == pytest.approx(wanted, rel=2e-3)
    if sigma_sq:
        assert variance == pytest.approx(msb / (boards * sessions), rel=1e-9)


@pytest.mark.parametrize("sigma", [0.0, 0.005, 0.01, 0.02])
@pytest.mark.parametrize("boards", [2, 3, 4, 8])
def test_intervals_hold_the_truth_of_a_kind(boards: int, sigma: float) -> None:
    """95% of them, wherever boards differ by up to 2%; standard error of the share is 0.2%."""
    rng = np.random.default_rng(boards)
    shape = (10_000, boards, 2)
    y = rng.normal(0, sigma, (*shape[:2], 1)) + rng.normal(0, math.hypot(TAU, WITHIN), shape)
    centre, half = pooled(y)
    assert np.mean(np.abs(centre) <= half) >= 0.94


def test_an_interval_of_one_board_would_not_hold_it() -> None:
    """What the variance component is there for."""
    rng = np.random.default_rng(0)
    y = rng.normal(0, 0.02, (10_000, 4, 1)) + rng.normal(0, math.hypot(TAU, WITHIN), (10_000, 4, 2))
    as_one = y.reshape(10_000, 1, 8)
    centre, half = pooled(as_one)
    assert np.mean(np.abs(centre) <= half) < 0.85


def test_boards_that_agree_say_more_than_two() -> None:
    widths = [pooled(np.full((1, boards, 2), 0.3))[1][0] for boards in (2, 3, 8, 30)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.005


SUMMARIES = st.lists(
    st.builds(
        PairSummary,
        rounds=st.integers(3, 60),
        log_ratio=st.floats(-1, 1),
        log_ratio_var=st.floats(0, 1e-3),
        saving_s=st.floats(-1e-3, 1e-3),
        saving_var=st.floats(0, 1e-9),
        original_s=st.floats(1e-5, 1e-2),
        candidate_s=st.floats(1e-5, 1e-2),
    ),
    min_size=1,
    max_size=5,
)


@given(SUMMARIES)
def test_one_board_is_as_if_nobody_spoke_of_boards(summaries: list[PairSummary]) -> None:
    """To the last bit."""
    named = combine_many([summaries, summaries], boards=[["a"] * len(summaries)] * 2)
    assert named == [combine(summaries)] * 2


@given(SUMMARIES, st.permutations(range(5)))
def test_the_order_of_sessions_does_not_matter(
    summaries: list[PairSummary], order: list[int]
) -> None:
    order = [index for index in order if index < len(summaries)]
    boards = ["abbca"[index] for index in range(len(summaries))]
    [one] = combine_many([summaries], boards=[boards])
    [two] = combine_many([[summaries[i] for i in order]], boards=[[boards[i] for i in order]])
    assert one.speedup == pytest.approx(two.speedup, rel=1e-9)
    assert one.speedup_low == pytest.approx(two.speedup_low, rel=1e-9)


def test_two_preparations_a_board_were_planned() -> None:
    """Nobody looked at them before there were more: the error rate is not halved."""
    summary = PairSummary(20, 0.2, 1e-6, 1e-4, 1e-14, 1e-3, 8e-4)
    [twice] = combine_many([[summary] * 4], boards=[["a", "a", "b", "b"]])
    [planned] = combine_many([[summary] * 4], planned=4, boards=[["a", "a", "b", "b"]])
    [looked] = combine_many([[summary] * 4], planned=1, boards=[["a", "a", "b", "b"]])
    assert twice == planned
    assert LATER_SHARE < 1
    assert looked.speedup_low < twice.speedup_low


def test_each_session_has_one_board() -> None:
    summary = PairSummary(20, 0.2, 1e-6, 1e-4, 1e-14, 1e-3, 8e-4)
    with pytest.raises(ValueError, match="shorter"):
        combine_many([[summary] * 2], boards=[["a"]])
