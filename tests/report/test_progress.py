"""Progress: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from rankwise.report.progress import EVERY_S, RichReporter

TEXT = "conv2d 3x3 64->64: 3 layers, 5/9 candidates decided, 20 s left, svd 16 FASTER 1.50x"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_short_work_is_silent_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with RichReporter(clock=Clock()) as reporter:
        reporter.progress(1, 2, TEXT)
    assert capsys.readouterr() == ("", "")


def test_long_work_says_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with RichReporter(clock=clock) as reporter:
        reporter.progress(0, 10, "a")
        for done in range(1, 10):
            clock.now += EVERY_S / 2
            reporter.progress(done, 10, "the same layer against itself")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[0] == "1/10 the same layer against itself, about 45 s left"
    assert lines[1] == "3/10 the same layer against itself, about 35 s left"


def test_the_time_left_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    reporter = RichReporter(clock=clock)
    reporter.progress(0.0, 1.0, "a")
    clock.now += 100
    reporter.progress(0.25, 1.0, "b, about 20 s left")
    clock.now += 100
    reporter.progress(0.5, 1.0, "c")
    assert capsys.readouterr().err.splitlines() == [
        "25% b, about 20 s left",
        "50% c, about 3 min left",
    ]


def test_other_work_is_not_paced_by_what_was_before(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    reporter = RichReporter(clock=clock)
    reporter.progress(9, 10, "a")
    clock.now += 100
    reporter.progress(1, 4, "b")
    assert capsys.readouterr().err.splitlines() == ["1/4 b"]


def test_verbose_keeps_every_text(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = RichReporter(verbose=True, clock=Clock())
    for done, text in ((1, "a"), (2, "a"), (3, "b")):
        reporter.progress(done, 3, text)
    assert capsys.readouterr().err.splitlines() == ["1/3 a", "3/3 b"]


def test_one_line_with_what_there_is_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    reporter = RichReporter()
    reporter.console = Console(file=terminal, force_terminal=True, width=150)
    with reporter:
        reporter.progress(1, 2, TEXT)
        reporter.progress(2, 2, TEXT)
    shown = terminal.getvalue()
    assert "5/9 candidates decided" in shown
    assert "2/2" in shown
