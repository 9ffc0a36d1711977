"""Progress where nobody shows it: lines, not too many; a bar in a notebook."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rankwise import display
from rankwise.display import LineDisplay, NotebookDisplay, display_here


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=clock))
    return clock


def test_lines_come_late_and_seldom(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = LineDisplay("profile")
    for second in range(40):
        clock.now = 100.0 + second
        shown.progress(second, 40, "conv2d 3x3")
    shown.message("a candidate failed")
    shown.close()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "profile: 5%, conv2d 3x3, 38 s left",
        "profile: 42%, conv2d 3x3, 23 s left",
        "profile: 80%, conv2d 3x3, 8 s left",
        "profile: a candidate failed",
    ]


def test_what_is_quick_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = LineDisplay("plan")
    clock.now += 1.9
    shown.progress(0.5, 1.0, "running")
    shown.close()
    assert capsys.readouterr().err == ""


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a notebook was handed."""
    drawn: list[str] = []

    def show(html: str, display_id: bool) -> Any:
        assert display_id
        drawn.append(html)
        return SimpleNamespace(update=drawn.append)

    shell = SimpleNamespace(kernel=object())
    library = SimpleNamespace(HTML=str, display=show)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", library)
    return drawn


def test_a_notebook_has_a_bar(clock: Clock, drawn: list[str]) -> None:
    shown = display_here("profile")
    assert isinstance(shown, NotebookDisplay)
    shown.progress(0, 4, "at once")
    assert not drawn
    for step in range(1, 5):
        clock.now += 0.5
        shown.progress(step, 4, "<b>conv</b>")
        shown.progress(step, 4, "too soon after the other")
    shown.message("<i>a message</i>")
    shown.close()
    assert len(drawn) == 6
    assert '<progress value="0.5000" max="1">' in drawn[1]
    assert "&lt;b&gt;conv" in drawn[1]
    assert "1 s left" in drawn[1]
    assert not any("too soon" in one for one in drawn)
    assert "profile: 2.0 s" in drawn[-1]
    assert "&lt;i&gt;a message" in drawn[-1]
    assert "<script" not in "".join(drawn)


def test_a_notebook_that_had_nothing_to_show_stays_empty(clock: Clock, drawn: list[str]) -> None:
    shown = display_here("plan")
    clock.now += 0.1
    shown.progress(1, 2, "quick")
    shown.close()
    assert not drawn


def test_elsewhere_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert isinstance(display_here("plan"), LineDisplay)
    monkeypatch.delitem(sys.modules, "IPython")
    assert isinstance(display_here("plan"), LineDisplay)
