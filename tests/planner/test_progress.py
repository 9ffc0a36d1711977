"""Progress of a plan's search: what it has taken, and what it will still take."""

from __future__ import annotations

import pytest

from rankwise.planner.progress import Progress


class Told:
    def __init__(self) -> None:
        self.lines: list[tuple[float, str]] = []

    def message(self, text: str) -> None:
        self.lines.append((-1, text))

    def progress(self, done: float, total: float, text: str) -> None:
        self.lines.append((done / total, text))

    def metrics(self, *_: object) -> None:
        return None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_follows_from_units_that_were_timed() -> None:
    told, clock = Told(), Clock()
    progress = Progress(told, clock=clock)
    progress.expect("pass", 4)
    with progress.unit("pass", "running"):
        clock.now += 3
    assert told.lines == [(0, "running")]
    assert progress.left_s() == pytest.approx(9)
    progress.say("more")
    assert told.lines[-1] == (0.25, "more, about 9 s left")


def test_nothing_is_said_of_work_that_was_never_timed() -> None:
    progress = Progress(Told(), clock=Clock())
    progress.expect("timing", 2)
    assert progress.left_s() is None
    progress.expect("timing", 0)
    assert progress.left_s() == 0


def test_the_time_is_up() -> None:
    clock = Clock()
    progress = Progress(Told(), max_time_s=10, clock=clock)
    assert not progress.over
    clock.now = 10
    assert progress.over
    assert not Progress(Told(), clock=clock).over
