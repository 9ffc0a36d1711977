"""How far work is and how long it still takes: one answer for all who show it."""

from __future__ import annotations

import pytest

from rankwise.pace import KNOWN_AFTER_S, Pace, Standing


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_time_left_follows_the_pace(clock: Clock) -> None:
    """Of steps of equal length, those that are left take as long as those that were."""
    pace = Pace(clock)
    assert pace.at(0, 10) == Standing(0.0, "0/10", None)
    clock.now += KNOWN_AFTER_S / 2
    assert pace.at(1, 10).left_s is None, "nobody knows so soon"
    for done in range(2, 11):
        clock.now = 100.0 + 3 * done
        assert pace.at(done, 10).left_s == pytest.approx(3 * (10 - done))
    clock.now = 200.0
    assert pace.at(0, 4).left_s is None, "another stretch of work begins"
    clock.now = 210.0
    assert pace.at(2, 4).left_s == pytest.approx(10)
    assert pace.elapsed_s == 110


def test_what_was_there_before_is_no_pace(clock: Clock) -> None:
    """Half of it was in the store: the other half is not done in no time."""
    pace = Pace(clock)
    clock.now += 60
    pace.at(50, 99)
    clock.now += 10
    assert pace.at(51, 99).left_beside("x") == "8 min left"


def test_the_time_left_is_said_once() -> None:
    standing = Standing(0.5, "1/2", 190.0)
    assert standing.left_beside("x, about 7 s left") == ""
    assert standing.left_beside("the leftmost layer") == "3 min left"
    assert Standing(0.5, "1/2", 7.4).left_beside("x") == "7 s left"
    assert Standing(0.5, "1/2", None).left_beside("x") == ""
    assert Standing(1.0, "2/2", 0.0).left_beside("x") == ""


def test_shares_are_said_in_hundredths(clock: Clock) -> None:
    pace = Pace(clock)
    assert pace.at(0, 0) == Standing(0.0, "0/0", None)
    assert pace.at(0.0, 1.0).count == ""
    assert pace.at(0.25, 1.0).count == "25%"
    assert pace.at(25, 100.0).count == "25%"
    assert pace.at(1.2, 1.0).share == 1.0
