"""Progress: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from rankwise.report.progress import RichReporter

TEXT = "conv2d 3x3 64->64: 3 layers, 5/9 candidates decided, 20 s left, svd 16 FASTER 1.50x"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_silent_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with RichReporter() as reporter:
        reporter.progress(1, 2, TEXT)
    assert capsys.readouterr() == ("", "")


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
