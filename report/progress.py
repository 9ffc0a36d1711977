"""Progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column


class RichReporter:
    """A bar while something is under way, if standard error is a terminal; else messages only."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, emoji=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def message(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def progress(self, done: float, total: float, text: str) -> None:
        if not sys.stderr.isatty():
            return
        bar = self._started()
        if self._task is None:
            self._task = bar.add_task(text, total=total)
        bar.update(self._task, completed=done, total=total, description=text)

    def _started(self) -> Progress:
        if self._bar is None:
            room = Column(ratio=1, no_wrap=True, overflow="ellipsis")
            self._bar = Progress(
                TextColumn("{task.description}", markup=False, table_column=room),
                BarColumn(bar_width=20),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
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
