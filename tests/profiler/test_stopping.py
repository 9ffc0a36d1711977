"""The stopping rule, fed with lists of numbers alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rankwise import stats
from rankwise.profiler import stopping
from rankwise.profiler.stopping import PairRule, decided, half_width, look_schedule
from rankwise.records import Effort, PairSummary, Verdict

EFFORT = Effort(interval=0.02, min_rounds=10, max_rounds=40, preparations=2)


def play(rule: PairRule, original: np.ndarray, candidate: np.ndarray) -> int:
    """Feed until it stops; the number of rounds it took."""
    for number, pair in enumerate(zip(original, candidate, strict=True), start=1):
        rule.feed(*pair)
        if rule.stopped:
            return number
    return 0


@given(st.integers(1, 50), st.integers(1, 2000))
def test_few_looks_and_one_at_the_end(first: int, last: int) -> None:
    looks = look_schedule(first, last)
    assert looks[0] == max(first, stats.MIN_ROUNDS) or looks[0] == looks[-1]
    assert looks[-1] == max(last, first, stats.MIN_ROUNDS)
    assert len(looks) <= stats.EARLY_LOOKS + 1
    assert list(looks) == sorted(set(looks))


@pytest.mark.parametrize(
    ("first", "last", "looks"),
    [
        (10, 30, (10, 14, 20, 27, 30)),  # growing by two fifths
        (10, 40, (10, 14, 20, 28, 40)),  # by the fourth root of 4, which is a little more
        (10, 1000, (10, 32, 100, 316, 1000)),  # by the fourth root of 100
        (10, 20, (10, 14, 20)),  # the third look would be the last round's
        (1, 12, (3, 4, 6, 8, 12)),  # fewer than three rounds cannot be summarised
        (7, 5, (7,)),
    ],
)
def test_looks_grow_by_two_fifths_or_as_four_looks_need(
    first: int, last: int, looks: tuple[int, ...]
) -> None:
    assert look_schedule(first, last) == looks


def test_clear_is_decided_before_the_interval_is_reached() -> None:
    wobble = np.tile([0.95, 1.0, 1.05, 1.02, 0.98], 8)
    rule = PairRule(EFFORT)
    assert play(rule, 2 * wobble, np.ones(40)) == 10
    assert rule.stopped == "decided"
    assert rule.summary is not None
    assert rule.summary.rounds == 10
    assert EFFORT.interval < half_width(rule.summary, 2) < 2.5 * EFFORT.interval


def test_clear_but_rough_goes_on() -> None:
    wobble = np.tile([0.8, 1.0, 1.2, 0.9, 1.1], 8)
    rule = PairRule(EFFORT)
    assert play(rule, 9 * wobble, np.ones(40)) > 10


def test_quiet_and_alike_stops_at_the_interval() -> None:
    rule = PairRule(EFFORT)
    assert play(rule, np.full(40, 1.0), np.full(40, 1.0)) == 10
    assert rule.stopped == "interval"


def test_noise_that_does_not_average_out_stops_early() -> None:
    rng = np.random.default_rng(4)
    noise = np.exp(rng.normal(0, 0.05, 40) * np.arange(1, 41))
    rule = PairRule(EFFORT)
    assert play(rule, noise, np.ones(40)) < 40
    assert rule.stopped == "not narrowing"


def test_steady_noise_goes_on_to_the_last_round() -> None:
    rng = np.random.default_rng(1)
    ends = [play(PairRule(EFFORT), np.exp(rng.normal(0, 0.3, 40)), np.ones(40)) for _ in range(100)]
    assert ends.count(40) >= 80


def test_no_summary_of_too_few_rounds() -> None:
    rule = PairRule(EFFORT)
    for _ in range(stats.MIN_ROUNDS):
        assert rule.summary is None
        rule.feed(3.0, 2.0)
    assert rule.summary is not None
    assert rule.summary.rounds == stats.MIN_ROUNDS
    assert rule.summary.log_ratio == pytest.approx(math.log(1.5))


class Widths:
    """Stands for `half_width`: gives planned widths, keeps what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *widths: float) -> None:
        self.left, self.asked = list(widths), list[tuple[int, int]]()
        monkeypatch.setattr(stopping, "half_width", self)

    def __call__(self, summary: PairSummary, preparations: int) -> float:
        self.asked.append((summary.rounds, preparations))
        return self.left.pop(0)


ALIKE, CLEAR = (1.0, 1.0), (2.0, 1.0)


def fed(rounds: int, pair: tuple[float, float], effort: Effort = EFFORT) -> PairRule:
    rule = PairRule(effort)
    for _ in range(rounds):
        rule.feed(*pair)
    return rule


def test_it_looks_at_the_scheduled_rounds_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    effort = Effort(interval=0.02, min_rounds=5, max_rounds=15, preparations=3)
    widths = Widths(monkeypatch, 0.9, 0.8, 0.7, 0.6)
    assert fed(14, ALIKE, effort).stopped == ""
    assert widths.asked == [(5, 3), (7, 3), (10, 3), (14, 3)]
    widths.left = [0.9, 0.8, 0.7, 0.6]
    assert fed(15, ALIKE, effort).stopped == "last round"


@pytest.mark.parametrize(
    ("width", "pair", "stopped"),
    [
        (0.02, ALIKE, "interval"),
        (0.02, CLEAR, "interval"),
        (0.0201, ALIKE, ""),
        (0.0201, CLEAR, "decided"),
        (0.05, CLEAR, "decided"),  # two and a half times the interval wanted
        (0.0501, CLEAR, ""),
    ],
)
def test_what_one_look_says(
    monkeypatch: pytest.MonkeyPatch, width: float, pair: tuple[float, float], stopped: str
) -> None:
    # equal pairs are decided to be the same, so that a doubtful pair is planted
    monkeypatch.setattr(stopping, "decided", lambda summary: summary.log_ratio > 0)
    Widths(monkeypatch, width)
    assert fed(10, pair).stopped == stopped


@pytest.mark.parametrize(
    ("widths", "stopped"),
    [
        ((0.5, 0.4, 0.4, 0.5), "not narrowing"),
        ((0.3, 0.4, 0.5, 0.6), "not narrowing"),
        ((0.9, 0.2, 0.3, 0.7), "not narrowing"),
        ((0.5, 0.4, 0.4, 0.49), ""),
        ((0.2, 0.9, 0.8, 0.2), ""),
    ],
)
def test_the_last_two_widths_are_held_against_the_two_before(
    monkeypatch: pytest.MonkeyPatch, widths: Sequence[float], stopped: str
) -> None:
    Widths(monkeypatch, *widths)
    assert fed(27, ALIKE).stopped == ""
    Widths(monkeypatch, *widths)
    assert fed(28, ALIKE).stopped == stopped


def test_what_stopped_once_stays_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = Widths(monkeypatch, 0.01, 0.9)
    assert fed(40, ALIKE).stopped == "interval"
    assert widths.asked == [(10, 2)]


def test_the_last_round_is_said_even_if_all_is_known() -> None:
    assert fed(10, CLEAR, Effort(min_rounds=10, max_rounds=10)).stopped == "last round"


def summary(log_ratio: float, log_ratio_var: float, rounds: int = 10) -> PairSummary:
    return PairSummary(rounds, log_ratio, log_ratio_var, 1e-4, 1e-10, 2e-3, 1e-3)


def spread_of(sessions: int, variance: float, rounds: int) -> tuple[float, float]:
    """Standard error and degrees of freedom of equal sessions, by the model in `stats`."""
    prior_df = 6 + sessions - 1
    between = 6 * (0.005**2 + variance) / prior_df  # equal sessions show no variance between
    total = (between + variance) / sessions
    degrees = rounds - 2 * (rounds // 4) - 1
    tails = (between / sessions) ** 2 / prior_df + (variance / sessions) ** 2 / sessions / degrees
    return math.sqrt(total), total**2 / tails


@pytest.mark.parametrize("sessions", [1, 2, 3, 5])
@pytest.mark.parametrize("deviation", [0.001, 0.02])
def test_width_of_so_many_equal_sessions(sessions: int, deviation: float) -> None:
    error, degrees = spread_of(sessions, deviation**2, 10)
    half = scipy.stats.t.ppf(1 - (0.05 - 0.004) / 2, degrees) * error
    found = half_width(summary(0.3, deviation**2), sessions)
    assert found == pytest.approx(math.exp(half) - 1, rel=1e-3)
    assert half_width(summary(0.3, deviation**2), 0) == half_width(summary(0.3, deviation**2), 1)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_verdict_needs_confidence_of_999_in_1000(sign: int) -> None:
    error, degrees = spread_of(1, 0.02**2, 10)
    needed = math.log(1.01) + scipy.stats.t.ppf(1 - 0.001 / 2, degrees) * error
    assert decided(summary(sign * needed * 1.01, 0.02**2))
    assert not decided(summary(sign * needed * 0.99, 0.02**2))
    assert not decided(summary(0.0, 0.02**2))


def session(rng: np.random.Generator, speedup: float, effort: Effort) -> PairSummary:
    """A session as the sweep plays it: drift, jitter, 5% outliers of x10, half a percent of
    noise from the preparation, and the rule says when to stop."""
    rounds = effort.max_rounds
    drift = 1e-3 * np.exp(np.cumsum(rng.normal(0, 0.02, rounds)))

    def jitter() -> np.ndarray:
        return np.exp(rng.normal(0, 0.015, rounds)) * np.where(rng.random(rounds) < 0.05, 10, 1)

    rule = PairRule(effort)
    preparation = np.exp(rng.normal(0, 0.005))
    assert play(rule, drift * jitter() * speedup * preparation, drift * jitter())
    assert rule.summary is not None
    return rule.summary


@pytest.mark.parametrize("speedup", [1.0, 1.01, 1.04, 1.08, 1.5])
def test_published_interval_is_honest_under_the_looks(speedup: float) -> None:
    rng = np.random.default_rng(11)
    runs = [
        stats.combine([session(rng, speedup, EFFORT) for _ in range(EFFORT.preparations)])
        for _ in range(400)
    ]
    covered = sum(run.speedup_low <= speedup <= run.speedup_high for run in runs)
    assert covered >= 0.93 * 400
    found = [stats.verdict(run.speedup_low, run.speedup_high) for run in runs]
    right = {Verdict.SAME} if speedup <= 1.01 else {Verdict.FASTER}
    if speedup != 1.01:  # on the margin itself either neighbour is a coin's toss away
        assert sum(v not in right | {Verdict.UNDECIDED} for v in found) <= 4
