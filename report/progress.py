"""Progress on standard error: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

FIRST_S = 2.0
"""What takes less is over before anybody wonders."""
EVERY_S = 10.0
"""Seconds between two lines where there is no terminal."""
PERCENT = (1.0, 100.0)
"""Totals that are shares, not counts."""


class RichReporter:
    """A bar while something is under way, if standard error is a terminal; else a line now and
    then. `verbose`: each text is a line that stays."""

    def __init__(
        self, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = Console(stderr=True, highlight=False, emoji=False)
        self._verbose, self._clock = verbose, clock
        self._began, self._said = clock(), clock() + FIRST_S - EVERY_S
        self._total = 0.0
        self._told = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def message(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def progress(self, done: float, total: float, text: str) -> None:
        if total != self._total:  # something else is under way
            self._total, self._began = total, self._clock()
        left = self._left(done, total)
        count = _count(done, total)
        line = f"{count} {text}".strip() + (f", {left}" if left and " left" not in text else "")
        if self._verbose and text != self._told:
            self._told = text
            self.message(line)
        if sys.stderr.isatty():
            self._show(done, total, text, f"{count}  {left}".strip())
        elif not self._verbose and self._clock() - self._said >= EVERY_S:
            self._said = self._clock()
            self.message(line)

    def _left(self, done: float, total: float) -> str:
        """The time left by the pace so far; nothing while it is not known."""
        elapsed_s = self._clock() - self._began
        if elapsed_s < FIRST_S or not 0 < done < total:
            return ""
        left_s = elapsed_s * (total - done) / done
        return f"about {f'{left_s / 60:.0f} min' if left_s >= 90 else f'{left_s:.0f} s'} left"

    def _show(self, done: float, total: float, text: str, count: str) -> None:
        bar = self._started()
        if self._task is None:
            self._task = bar.add_task(text, total=total, count=count)
        bar.update(self._task, completed=done, total=total, description=text, count=count)

    def _started(self) -> Progress:
        if self._bar is None:
            room = Column(ratio=1, no_wrap=True, overflow="ellipsis")
            self._bar = Progress(
                TextColumn("{task.description}", markup=False, table_column=room),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
                expand=True,
            )
            self._bar.start()
        return self._bar

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _count(done: float, total: float) -> str:
    """How much is done; nothing for a share of which nothing is known yet."""
    if total in PERCENT:
        return f"{done / total:.0%}" if done else ""
    return f"{done:.0f}/{total:.0f}"
