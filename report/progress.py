"""Progress on standard error: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from ..pace import Pace

FIRST_S = 2.0
"""What takes less is over before anybody wonders."""
EVERY_S = 10.0
"""Seconds between two lines where there is no terminal."""


class RichReporter:
    """A bar while something is under way, if standard error is a terminal; else a line now and
    then. `verbose`: each text is a line that stays."""

    def __init__(
        self, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = Console(stderr=True, highlight=False, emoji=False)
        self._verbose, self._clock = verbose, clock
        self._pace = Pace(clock)
        self._said = clock() + FIRST_S - EVERY_S
        self._told = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def message(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def progress(self, done: float, total: float, text: str) -> None:
        standing = self._pace.at(done, total)
        left = f"about {told}" if (told := standing.left_beside(text)) else ""
        line = f"{standing.count} {text}".strip() + (f", {left}" if left else "")
        if self._verbose and text != self._told:
            self._told = text
            self.message(line)
        if sys.stderr.isatty():
            self._show(done, total, text, f"{standing.count}  {left}".strip())
        elif not self._verbose and self._clock() - self._said >= EVERY_S:
            self._said = self._clock()
            self.message(line)

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
