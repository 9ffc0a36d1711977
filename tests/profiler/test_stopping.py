"""The stopping rule, fed with lists of numbers alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise import stats
from rankwise.profiler.stopping import DECIDED_WIDTH, PairRule, half_width, look_schedule
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


def test_clear_is_decided_before_the_interval_is_reached() -> None:
    wobble = np.tile([0.95, 1.0, 1.05, 1.02, 0.98], 8)
    rule = PairRule(EFFORT)
    assert play(rule, 2 * wobble, np.ones(40)) == 10
    assert rule.stopped == "decided"
    assert rule.summary is not None
    assert rule.summary.rounds == 10
    assert EFFORT.interval < half_width(rule.summary, 2) < DECIDED_WIDTH * EFFORT.interval


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
    for _ in range(stats.MIN_ROUNDS - 1):
        assert rule.summary is None
        rule.feed(1.0, 1.0)
    rule.feed(1.0, 1.0)
    assert rule.summary is None or rule.summary.rounds == stats.MIN_ROUNDS


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
