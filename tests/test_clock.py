"""The time of day as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rankwise import clock


def test_the_time_is_utc() -> None:
    before = datetime.now(UTC)
    told = datetime.fromisoformat(clock.now())
    assert before - timedelta(milliseconds=1) <= told <= datetime.now(UTC)
    assert clock.now().endswith("Z")
    assert clock.now_to_the_second().endswith("+00:00")
    assert abs(datetime.fromisoformat(clock.now_to_the_second()) - told) < timedelta(minutes=1)


def test_times_sort_as_text_and_never_go_back() -> None:
    today, day = datetime.now(UTC), timedelta(days=1)
    past, future = clock.as_text(today - day), clock.as_text(today + day)
    assert past < clock.now() < future < clock.now(after=future)
    assert clock.now(after=past) < future
