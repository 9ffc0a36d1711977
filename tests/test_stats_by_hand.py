"""The estimators once more, one number after the other, from the papers: an oracle to many
digits, where coverage and invariants would let a small error pass. A change that this file
notices gives other numbers for the same samples: `ESTIMATOR_VERSION` has to rise with it."""

from __future__ import annotations

import math
from statistics import NormalDist, fmean, median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.random_effects import t_quantile
from rankwise.records import Comparison, PairSummary, Verdict
from rankwise.stats import (
    EARLY_LOOKS,
    ESTIMATOR_VERSION,
    LATER_SHARE,
    LOOK_CONFIDENCE,
    MAX_PREPARATIONS,
    PLANNED_PREPARATIONS,
    PRIOR_BETWEEN,
    combine,
    combine_many,
    summarize_pairs,
    verdict,
)


def algorithm_396(tail: float, n: float) -> float:
    """Hill's procedure as the Communications of the ACM printed it (13:619, 1970)."""
    if n == 2:
        return math.sqrt(2 / (tail * (2 - tail)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    x = d * tail
    y = x ** (2 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tail * 0.5)
        y = x**2
        if n < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.exp(a * y**2) - 1
    else:
        y = (1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1
        y = y * (n + 1) / (n + 2) + 1 / ((d * tail) ** (2 / n))
    return math.sqrt(n * y)


def yuen(values: list[float]) -> tuple[float, float]:
    """The mean of the middle half, and its variance (Yuen 1974)."""
    ordered = sorted(values)
    count = len(ordered)
    trim = count // 4
    kept = ordered[trim : count - trim]
    winsorised = [kept[0]] * trim + kept + [kept[-1]] * trim
    centre = fmean(winsorised)
    squares = sum((value - centre) ** 2 for value in winsorised)
    return fmean(kept), squares / (len(kept) * (len(kept) - 1))


def random_effects(
    sessions: list[tuple[float, float, int]], prior_sds: list[float], tail: float
) -> tuple[float, float]:
    """Mean and half-width from (estimate, variance, rounds) of each session, by DerSimonian and
    Kacker's general method of moments (2007, eq. 6), moderated as Smyth (2004) does."""
    m = len(sessions)
    prior = fmean(sd**2 + v for sd, (_, v, _) in zip(prior_sds, sessions, strict=True))
    moment = 0.0
    if m > 1:
        a = [1 / (prior + v) for _, v, _ in sessions]
        mean = sum(w * y for w, (y, _, _) in zip(a, sessions, strict=True)) / sum(a)
        q = sum(w * (y - mean) ** 2 for w, (y, _, _) in zip(a, sessions, strict=True))
        pairs = list(zip(a, sessions, strict=True))
        expected = sum(w * v for w, (_, v, _) in pairs)
        expected -= sum(w**2 * v for w, (_, v, _) in pairs) / sum(a)
        moment = max(0.0, (q - expected) / (sum(a) - sum(w**2 for w in a) / sum(a)))
    between_df = 6 + (m - 1)
    between = (6 * prior + (m - 1) * moment) / between_df
    weights = [1 / (between + v) for _, v, _ in sessions]
    shares = [w / sum(weights) for w in weights]
    shared = sum(s**2 for s in shares) * between
    within = [s**2 * v for s, (_, v, _) in zip(shares, sessions, strict=True)]
    degrees = [rounds - 2 * (rounds // 4) - 1 for _, _, rounds in sessions]
    variance = shared + sum(within)
    satterthwaite = shared**2 / between_df
    satterthwaite += sum(w**2 / d for w, d in zip(within, degrees, strict=True))
    centre = sum(s * y for s, (y, _, _) in zip(shares, sessions, strict=True))
    return centre, algorithm_396(tail, variance**2 / satterthwaite) * math.sqrt(variance)


def by_hand(sessions: list[PairSummary], tail: float) -> Comparison:
    ratios = [(s.log_ratio, s.log_ratio_var, s.rounds) for s in sessions]
    savings = [(s.saving_s, s.saving_var, s.rounds) for s in sessions]
    log, log_half = random_effects(ratios, [0.005] * len(sessions), tail)
    larger = [0.005 * max(s.original_s, s.candidate_s) for s in sessions]
    saved, half = random_effects(savings, larger, tail)
    return Comparison(
        *(math.exp(log + side * log_half) for side in (0, -1, 1)),
        *(saved + side * half for side in (0, -1, 1)),
        fmean(s.original_s for s in sessions),
        fmean(s.candidate_s for s in sessions),
        len(sessions),
        sum(s.rounds for s in sessions),
    )


def simulated(seed: int, rounds: int, noise: float) -> PairSummary:
    rng = np.random.default_rng(seed)
    session = rng.normal(0, 0.01)
    original = 2e-3 * np.exp(rng.normal(session, noise, rounds))
    return summarize_pairs(original, 1.3e-3 * np.exp(rng.normal(0, noise, rounds)))


def numbers(comparison: Comparison) -> list[float]:
    found = comparison
    return [
        *(found.speedup, found.speedup_low, found.speedup_high),
        *(found.saving_s, found.saving_low_s, found.saving_high_s),
        *(found.original_latency_s, found.latency_s, found.sessions, found.rounds),
    ]


@pytest.mark.parametrize("tail", [0.5, 0.2, 0.05, 0.046, 0.01, 1e-3, 1e-4])
def test_t_quantile_is_hills(tail: float) -> None:
    df = np.concatenate([np.linspace(2, 6, 81), np.geomspace(6, 1e4, 60)])
    expected = [algorithm_396(tail, float(n)) for n in df]
    assert t_quantile(tail, df) == pytest.approx(expected, rel=1e-10)


@given(st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=25))
def test_a_session_is_summarised_as_yuen_does(original: list[float]) -> None:
    candidate = [1.0 + n % 3 for n in range(len(original))]
    found = summarize_pairs(np.array(original), np.array(candidate))
    pairs = list(zip(original, candidate, strict=True))
    mean, variance = yuen([math.log(a / b) for a, b in pairs])
    assert (found.log_ratio, found.log_ratio_var) == pytest.approx((mean, variance), abs=1e-9)
    mean, variance = yuen([a - b for a, b in pairs])
    assert found.saving_s == pytest.approx(mean, rel=1e-9, abs=1e-9)
    assert found.saving_var == pytest.approx(variance, rel=1e-6, abs=1e-9)
    assert (found.original_s, found.candidate_s) == (median(original), median(candidate))


@pytest.mark.parametrize("preparations", [1, 2, 3, 4])
@pytest.mark.parametrize("noise", [1e-4, 0.01, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_sessions_are_combined_as_the_papers_say(
    seed: int, noise: float, preparations: int
) -> None:
    sessions = [
        simulated(10 * seed + n, 4 + 3 * seed + 2 * n, noise * (1 + n)) for n in range(preparations)
    ]
    tail = (1 - 0.9 - 0.02) * (0.5 if preparations > 3 else 1)
    found = combine(sessions, 0.9, spent=0.02, planned=3)
    assert numbers(found) == pytest.approx(numbers(by_hand(sessions, tail)), rel=1e-9)


def test_what_is_taken_where_nothing_is_said() -> None:
    """95%, less what four looks at 99.9% spend; later preparations get half of the rest."""
    sessions = [simulated(n, 9, 0.02) for n in range(3)]
    for count, tail in ((2, 0.046), (3, 0.023)):
        expected = numbers(by_hand(sessions[:count], tail))
        assert numbers(combine(sessions[:count])) == pytest.approx(expected, rel=1e-9)
        assert numbers(combine_many([sessions[:count]])[0]) == pytest.approx(expected, rel=1e-9)


def test_the_constants_are_those_of_this_version() -> None:
    """Whoever changes one of these gives new numbers to samples that lie in stores."""
    looks = EARLY_LOOKS, LOOK_CONFIDENCE
    preparations = PLANNED_PREPARATIONS, MAX_PREPARATIONS, LATER_SHARE
    assert (ESTIMATOR_VERSION, PRIOR_BETWEEN, looks) == (1, 0.005, (4, 0.999))
    assert preparations == (2, 4, 0.5)


@pytest.mark.parametrize("spent", [0.5, 0.6, 1.0, -0.5, -2.0])
def test_an_error_rate_that_is_none_is_refused(spent: float) -> None:
    with pytest.raises(ValueError, match="no error rate"):
        combine([simulated(0, 9, 0.02)], 0.5, spent=spent)


@pytest.mark.parametrize(
    ("original", "candidate", "message"),
    [
        ([1.0, 1.0, math.inf], [1.0, 1.0, 1.0], "positive and finite"),
        ([1.0, 1.0, 1.0], [1.0, 1.0, math.inf], "positive and finite"),
        ([1.0, 1.0, 1.0], [1.0, 1.0, -1.0], "positive and finite"),
        ([1.0, 1.0], [1.0, 1.0], "2 rounds are too few: at least 3"),
        ([[1.0] * 3] * 3, [[1.0] * 3] * 3, "equal lengths"),
        ([1.0] * 4, [1.0] * 3, "equal lengths"),
    ],
)
def test_bad_times_are_refused_with_the_reason(
    original: list[float], candidate: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        summarize_pairs(np.array(original), np.array(candidate))


def test_a_group_without_sessions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one session"):
        combine_many([[simulated(0, 9, 0.02)], []])


@pytest.mark.parametrize("margin", [0.01, 0.25])
def test_a_verdict_at_its_very_bounds(margin: float) -> None:
    """The bounds themselves belong to `same`."""
    upper = 1 + margin
    lower = 1 / upper
    above, below = np.nextafter(upper, 9), np.nextafter(lower, 0)
    assert verdict(lower, upper, margin) is Verdict.SAME
    assert verdict(above, above, margin) is Verdict.FASTER
    assert verdict(upper, above, margin) is Verdict.UNDECIDED
    assert verdict(below, below, margin) is Verdict.SLOWER
    assert verdict(below, lower, margin) is Verdict.UNDECIDED
    assert verdict(below, upper, margin) is Verdict.UNDECIDED
