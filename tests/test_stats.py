"""The estimators against planted truths: coverage, verdicts, degenerate data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from rankwise.random_effects import t_quantile
from rankwise.records import PairSummary, Verdict
from rankwise.stats import (
    MIN_ROUNDS,
    Ratio,
    combine,
    combine_many,
    inverse,
    product,
    summarize_pairs,
    verdict,
)

PREPARATION_SD = 0.005


def simulated_pairs(
    rng: np.random.Generator, speedup: float, rounds: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """One session: drift common to the pair, log-normal jitter, 5% outliers of x10 on either
    side, half a percent of noise from the preparation."""
    drift = 1e-3 * np.exp(np.cumsum(rng.normal(0, 0.02, rounds)))
    preparation = rng.normal(0, PREPARATION_SD)

    def jitter() -> np.ndarray:
        return np.exp(rng.normal(0, 0.01, rounds)) * np.where(rng.random(rounds) < 0.05, 10, 1)

    return drift * jitter() * speedup * np.exp(preparation), drift * jitter()


def simulated_summary(rng: np.random.Generator, speedup: float, rounds: int = 12) -> PairSummary:
    return summarize_pairs(*simulated_pairs(rng, speedup, rounds))


@pytest.mark.parametrize("sessions", [1, 2, 3])
@pytest.mark.parametrize("rounds", [8, 24])
@pytest.mark.parametrize("speedup", [1.0, 1.3])
def test_interval_covers_the_truth(sessions: int, rounds: int, speedup: float) -> None:
    rng = np.random.default_rng(7 + sessions)
    runs = [
        combine([simulated_summary(rng, speedup, rounds) for _ in range(sessions)], spent=0)
        for _ in range(400)
    ]
    covered = sum(run.speedup_low <= speedup <= run.speedup_high for run in runs)
    assert covered >= 0.93 * 400
    verdicts = [verdict(run.speedup_low, run.speedup_high) for run in runs]
    right = {Verdict.SAME} if speedup == 1 else {Verdict.FASTER}
    assert sum(v not in right | {Verdict.UNDECIDED} for v in verdicts) <= 4


def test_saving_covers_the_truth() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        summaries = []
        for _ in range(2):
            # The ratio's half a percent comes from both sides alike.
            shifts = rng.normal(0, PREPARATION_SD / 2**0.5, 2)
            original = 2e-3 * np.exp(rng.normal(shifts[0], 0.01, 12))
            candidate = 1.5e-3 * np.exp(rng.normal(shifts[1], 0.01, 12))
            summaries.append(summarize_pairs(original, candidate))
        run = combine(summaries)
        covered += run.saving_low_s <= 0.5e-3 <= run.saving_high_s
    assert covered >= 0.93 * 400


def test_interval_is_neither_absurd_nor_certain() -> None:
    still = np.full(8, 1e-3)
    for sessions in (1, 2, 3):
        run = combine([summarize_pairs(still, still)] * sessions)
        assert 0.002 < run.speedup_high - run.speedup < 0.02


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rounds", [MIN_ROUNDS, 4, 8, 23])
def test_constant_times_have_no_variance(rounds: int) -> None:
    summary = summarize_pairs(np.full(rounds, 0.3), np.full(rounds, 0.1))
    assert summary.log_ratio_var == 0
    assert summary.saving_var == 0
    assert summary.log_ratio == pytest.approx(np.log(3))
    run = combine([summary, summary])
    assert run.speedup == pytest.approx(3)
    assert run.saving_s == pytest.approx(0.2)
    assert (run.sessions, run.rounds) == (2, 2 * rounds)


def test_a_quarter_of_outliers_does_not_move_the_estimate() -> None:
    original = np.full(8, 2.0)
    original[:2] = 1000.0
    assert summarize_pairs(original, np.ones(8)).log_ratio == pytest.approx(np.log(2))


def test_trimmed_mean_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).lognormal(0, 0.2, 21)
    summary = summarize_pairs(values, np.ones(21))
    assert summary.log_ratio == pytest.approx(scipy_stats.trim_mean(np.log(values), 0.25))
    error = scipy_stats.mstats.trimmed_stde(np.log(values), (0.25, 0.25))
    # SciPy divides by (1 - 2 trim) sqrt(n), Yuen by the whole numbers that are left.
    assert summary.log_ratio_var**0.5 == pytest.approx(float(error), rel=0.1)


@pytest.mark.parametrize(
    ("original", "candidate"),
    [
        ([1.0] * 2, [1.0] * 2),
        ([1.0] * 4, [1.0] * 3),
        ([1.0] * 3, [0.0, 1, 1]),
        ([1, 1, np.nan],) * 2,
    ],
)
def test_bad_pairs_are_refused(original: list[float], candidate: list[float]) -> None:
    with pytest.raises(ValueError, match=r"equal lengths|too few|positive and finite"):
        summarize_pairs(np.array(original), np.array(candidate))


def test_nothing_to_combine_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one session"):
        combine([])
    assert combine_many([]) == []


times = st.lists(st.floats(1e-6, 1e2), min_size=8, max_size=8)


@given(times, times)
def test_swapping_the_sides_inverts_the_speedup(a: list[float], b: list[float]) -> None:
    forth = combine([summarize_pairs(np.array(a), np.array(b))])
    back = combine([summarize_pairs(np.array(b), np.array(a))])
    assert forth.speedup == pytest.approx(1 / back.speedup)
    assert forth.speedup_low == pytest.approx(1 / back.speedup_high, rel=1e-6)
    assert forth.saving_s == pytest.approx(-back.saving_s)
    assert forth.speedup_low <= forth.speedup <= forth.speedup_high
    assert forth.saving_low_s <= forth.saving_s <= forth.saving_high_s


@given(times, times, st.floats(1e-3, 1e3))
def test_a_faster_machine_changes_no_ratio(a: list[float], b: list[float], scale: float) -> None:
    here = combine([summarize_pairs(np.array(a), np.array(b))])
    there = combine([summarize_pairs(np.array(a) * scale, np.array(b) * scale)])
    assert there.speedup == pytest.approx(here.speedup)
    assert there.saving_s == pytest.approx(here.saving_s * scale, rel=1e-6, abs=1e-9)


def test_many_agree_with_one_by_one() -> None:
    rng = np.random.default_rng(3)
    groups = [
        [simulated_summary(rng, 1 + 0.1 * i, 8 + i) for _ in range(1 + i % 3)] for i in range(9)
    ]
    for together, group in zip(combine_many(groups), groups, strict=True):
        assert together == combine(group)


def test_disagreeing_sessions_widen_the_interval() -> None:
    still = np.full(8, 1e-3)
    agree = [summarize_pairs(still, still), summarize_pairs(still, still)]
    disagree = [summarize_pairs(still, still), summarize_pairs(still, still * 1.1)]

    def width(summaries: list[PairSummary]) -> float:
        run = combine(summaries)
        return run.speedup_high - run.speedup_low

    assert width(disagree) > 3 * width(agree)


def test_spent_error_rate_widens_the_interval() -> None:
    summary = [simulated_summary(np.random.default_rng(2), 1.0)]
    assert combine(summary).speedup_high > combine(summary, spent=0).speedup_high
    with pytest.raises(ValueError, match="no error rate"):
        combine(summary, confidence=0.999, spent=0.01)


@pytest.mark.parametrize("tail", [0.5, 0.1, 0.05, 0.046, 0.01, 0.001])
def test_t_quantile_agrees_with_scipy(tail: float) -> None:
    df = np.concatenate([[2.0, 2.01, 2.5, 3.0, 3.7], np.linspace(4.5, 20, 40), [50.0, 1e3, 1e6]])
    assert t_quantile(tail, df) == pytest.approx(scipy_stats.t.isf(tail / 2, df), rel=2e-3)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.02, 1.1, Verdict.FASTER),
        (0.8, 0.98, Verdict.SLOWER),
        (0.995, 1.005, Verdict.SAME),
        (0.995, 1.02, Verdict.UNDECIDED),
        (0.5, 2.0, Verdict.UNDECIDED),
        (1.005, 1.1, Verdict.UNDECIDED),
        (1.0, 1.01, Verdict.SAME),
    ],
)
def test_verdict(low: float, high: float, expected: Verdict) -> None:
    assert verdict(low, high) == expected


RATIO = st.tuples(*[st.floats(1.001, 2)] * 3).map(lambda x: (x[0], x[0] / x[1], x[0] * x[2]))


@given(RATIO, RATIO)
def test_a_product_of_ratios_is_wider_than_each_and_comes_back(first: Ratio, second: Ratio) -> None:
    value, low, high = product(first, second)
    assert value == pytest.approx(first[0] * second[0])
    for one in (first, second):
        assert value / low >= one[0] / one[1] * (1 - 1e-9)
        assert high / value >= one[2] / one[0] * (1 - 1e-9)
    assert inverse(inverse(first)) == pytest.approx(first)
    exact = (3.0, 3.0, 3.0)
    assert product(first, exact) == pytest.approx([3 * end for end in first])
