"""What a limit promises: bounds for new pictures, tried on plans whose errors are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.models.network_error import NetworkError
from rankwise.planner.promise import (
    NEAR_LIMIT,
    Confirmation,
    confirmed,
    expected_margin,
    first_step,
    influences,
    interval,
    path,
)

CORRELATION, BIAS = 0.97, 1.02
"""Of the plans of a path; of the errors that a search sees."""


def errors_of(lost, whole):
    """Of parts that count alike; arrays (pictures, parts) or, for a single part, (pictures,)."""
    lost, whole = (np.reshape(one, (len(one), -1)).astype(float) for one in (lost, whole))
    parts = lost.shape[1]
    return NetworkError(tuple(map(str, range(parts))), lost, whole, np.ones(parts) / parts)


def drawn(rng, pictures, spread=0.5, parts=1):
    """Log-normal squared errors and sizes."""
    whole = np.exp(0.4 * rng.normal(size=(pictures, parts)))
    return errors_of(whole * 0.01 * np.exp(spread * rng.normal(size=(pictures, 1))), whole)


@given(st.integers(2, 12), st.integers(0, 50), st.floats(1e-6, 1e6))
def test_an_interval_knows_no_scale_and_no_order(pictures, seed, scale):
    rng = np.random.default_rng(seed)
    errors = drawn(rng, pictures, parts=2)
    order = rng.permutation(pictures)
    other = errors_of(scale * errors.lost[order], errors.whole[order])
    first, second = interval(errors, 5), interval(other, 5)
    assert second.high == pytest.approx(math.sqrt(scale) * first.high)
    assert second.low == pytest.approx(math.sqrt(scale) * first.low)
    assert first.low < first.value < first.high


def test_more_pictures_more_level_and_more_spread():
    rng = np.random.default_rng(0)
    errors = drawn(rng, 8)
    high = interval(errors, 8).high
    assert interval(errors, math.inf).high < interval(errors, 30).high < high
    assert interval(errors, 8, 0.8).high < high < interval(errors, 8, 0.99).high
    assert interval(errors, 8, others=[drawn(rng, 30, 0.1)]).high < high
    assert interval(errors, 8, others=[drawn(rng, 30, 1.5)]).high > high


@pytest.mark.parametrize("pictures", [1, 2])
def test_hardly_any_picture_is_a_wide_interval(pictures):
    errors = drawn(np.random.default_rng(0), pictures)
    found = interval(errors, pictures)
    assert 1.5 < found.high / found.value < 20


def test_no_error_and_no_number():
    whole = np.ones(4)
    assert interval(errors_of(np.zeros(4), whole), 4).high == 0
    assert interval(errors_of([1, math.inf, 1, 1], whole), 4).high == math.inf
    assert math.isfinite(interval(errors_of([1, 0, 0, 0], whole), 4).high)


@pytest.mark.parametrize("parts", [1, 3])
def test_influences_of_many_pictures_are_the_derivatives(parts):
    """Those of the logarithm by a picture's weight, which differences approximate."""
    errors, step = drawn(np.random.default_rng(0), 200, 0.5, parts), 1e-4
    for picture in range(3):
        more = np.ones((200, 1))
        more[picture] += step
        moved = errors_of(errors.lost * more, errors.whole * more).value
        derivative = 2 * (math.log(moved) - math.log(errors.value)) / step * 200
        assert influences(errors)[picture] == pytest.approx(derivative, rel=0.05, abs=0.02)


class TestConfirmed:
    @given(st.data(), st.integers(1, 40))
    def test_the_last_step_before_the_first_that_fails_or_one_close_to_the_limit(self, data, count):
        steps = sorted(data.draw(st.lists(st.floats(0.1, 2), min_size=count, max_size=count)))
        start = data.draw(st.integers(0, count - 1))
        factor = data.draw(st.floats(0.2, 8))
        asked: list[int] = []

        def bound_of(step: int) -> float:
            asked.append(step)
            return factor * steps[step]

        found = confirmed(steps, bound_of, 1.0, start)
        passing = [step for step in range(count) if factor * steps[step] <= 1]
        assert found.looks == len(asked)
        if found.step is not None and factor * steps[found.step] >= NEAR_LIMIT:
            assert found.step in passing
        else:
            assert found.step == (passing[-1] if passing else None)
        assert len(set(asked)) == len(asked)
        assert asked[0] == start

    def test_a_bound_close_to_the_limit_ends_the_looks(self):
        steps = [0.5, NEAR_LIMIT, 0.99, 1.0]
        assert confirmed(steps, lambda step: steps[step], 1.0, 1) == Confirmation(1, 1)

    def test_few_looks_where_bounds_go_with_what_was_expected(self):
        steps = path(1.0)
        for factor in (0.7, 1.0, 1.3, 2.5):
            assert confirmed(steps, lambda s, f=factor: f * steps[s], 1.0, 40).looks <= 4

    def test_what_is_not_finite_fails(self):
        found = confirmed([0.5, 0.6, 0.7], lambda s: math.inf if s else 0.9, 1.0, 2)
        assert found.step == 0
        assert confirmed([0.5, 0.6], lambda _: math.inf, 1.0, 1).step is None


def test_a_path_rises_from_far_below_the_limit_to_a_little_above():
    steps = path(0.2)
    assert steps[0] == pytest.approx(0.02, rel=0.05)
    assert steps[-1] == pytest.approx(0.21)
    ratios = np.divide(steps[1:], steps[:-1])
    assert np.allclose(ratios[np.array(steps[:-1]) > 0.105], 1.02)
    assert ratios.max() < 1.07
    assert steps[first_step(steps, 0.2, 1.25)] <= 0.16 < steps[first_step(steps, 0.2, 1.25) + 1]
    assert first_step(steps, 0.2, 1000) == 0


def test_a_margin_is_what_bounds_turn_out_to_be():
    rng = np.random.default_rng(0)
    searched = [drawn(rng, 10) for _ in range(200)]
    expected = np.median([expected_margin(one, 15, 15) for one in searched])
    found = [interval(one, 15) for one in (drawn(rng, 15) for _ in range(200))]
    assert expected == pytest.approx(np.median([one.high / one.value for one in found]), rel=0.1)


class Simulated:
    """A path of plans on pictures for the search, to confirm with, and that are new.

    Logarithms of a picture's squared error have the deviation `spread`; between the plans of a
    path they are correlated. The search takes plans for `BIAS` better than they are.
    """

    def __init__(self, rng, sizes, spread):
        self.steps = path(1.0)
        count = sum(sizes)
        walk = np.cumsum(rng.normal(size=(len(self.steps), count)), axis=0)
        own = math.sqrt(1 - CORRELATION**2) / math.sqrt(len(self.steps)) * walk
        self.whole = np.exp(0.4 * rng.normal(size=count))
        self.lost = self.whole * np.exp(spread * (CORRELATION * rng.normal(size=count) + own))
        self.parts = np.split(np.arange(count), np.cumsum(sizes)[:-1])

    def errors(self, step, part):
        """Errors on the pictures of part 0 (searched), 1 (confirm) or 2 (new)."""
        searched = self.parts[0]
        unit = self.lost[step, searched].sum() / self.whole[searched].sum()
        lost = self.lost[step, self.parts[part]] * (self.steps[step] * BIAS) ** 2 / unit
        return errors_of(lost, self.whole[self.parts[part]])

    def outcome(self):
        """Whether the promise is kept, and the share of the limit that is used."""
        new = len(self.parts[2])
        margin = expected_margin(self.errors(-1, 0), len(self.parts[1]), new)

        def bound_of(step):
            return interval(self.errors(step, 1), new, others=[self.errors(-3, 0)]).high

        start = first_step(self.steps, 1.0, margin)
        found = confirmed(self.steps, bound_of, 1.0, start)
        if found.step is None:
            return True, 0.0, found.looks
        errors = self.errors(found.step, 2), self.errors(found.step, 1)
        return errors[0].value <= 1, errors[1].value, found.looks


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "least_used"),
    [
        ((1, 1, 1), 0.1),
        ((2, 2, 2), 0.45),
        ((5, 7, 7), 0.7),
        ((12, 15, 15), 0.8),
        ((60, 99, 99), 0.9),
    ],
)
@pytest.mark.parametrize("spread", [0.3, 0.55, 0.8])
def test_promises_are_kept(sizes, least_used, spread):
    rng = np.random.default_rng(1)
    runs = [Simulated(rng, sizes, spread).outcome() for _ in range(400)]
    kept, used, looks = zip(*runs, strict=True)
    assert np.mean(kept) >= 0.9 - 0.02, "less than 0.9 by more than 400 runs leave to chance"
    assert np.median(used) >= least_used - 0.25 * max(spread - 0.55, 0)
    assert np.mean(looks) <= 4
