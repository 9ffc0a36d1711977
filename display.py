"""Progress where nobody else shows it: in a notebook a bar, elsewhere lines on standard error."""

from __future__ import annotations

import html
import sys
import time
from typing import Any, Protocol

from .pace import Pace, Standing

NOT_BEFORE_S = 2.0
"""What takes less time than this needs no progress."""
LINE_S = 15.0
DRAWN_S = 0.25
"""Lines are written, and a bar is drawn, at most this often."""


class Display(Protocol):
    """A `reporter.Reporter` that can be closed."""

    def message(self, text: str) -> None: ...

    def progress(self, done: float, total: float, text: str) -> None: ...

    def close(self) -> None: ...


def display_here(verb: str) -> Display:
    """Return a notebook's display in a notebook, and lines elsewhere."""
    return NotebookDisplay(verb) if _in_notebook() else LineDisplay(verb)


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this. Nothing is imported: who is in one has IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


class LineDisplay:
    """Messages at once, and every now and then a line about how far the work is."""

    def __init__(self, verb: str) -> None:
        self._verb, self._pace = verb, Pace(time.monotonic)
        self._next = NOT_BEFORE_S

    def message(self, text: str) -> None:
        print(f"{self._verb}: {text}", file=sys.stderr)

    def progress(self, done: float, total: float, text: str) -> None:
        standing = self._pace.at(done, total)
        if self._pace.elapsed_s >= self._next:
            self._next = self._pace.elapsed_s + LINE_S
            self.message(_line(standing, text))

    def close(self) -> None:
        """Nothing is left open."""


class NotebookDisplay:
    """One bar with a line of text, below it messages; needs neither scripts nor widgets."""

    def __init__(self, verb: str) -> None:
        self._verb, self._pace = verb, Pace(time.monotonic)
        self._handle: Any = None
        self._messages: list[str] = []
        self._bar = ""
        self._next = DRAWN_S

    def message(self, text: str) -> None:
        self._messages.append(text)
        self._draw()

    def progress(self, done: float, total: float, text: str) -> None:
        standing = self._pace.at(done, total)
        if self._pace.elapsed_s < self._next:
            return
        self._next = self._pace.elapsed_s + DRAWN_S
        said = html.escape(f"{self._verb}: {_line(standing, text)}")
        self._bar = f'<progress value="{standing.share:.4f}" max="1"></progress> {said}'
        self._draw()

    def close(self) -> None:
        """Say how long it took, if anything was shown at all."""
        if self._handle is not None:
            self._bar = f"{html.escape(self._verb)}: {self._pace.elapsed_s:.1f} s"
            self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML, display

        said = "".join(f"<div>{html.escape(text)}</div>" for text in self._messages)
        drawn = HTML(f"<div>{self._bar}{said}</div>")
        if self._handle is None:
            self._handle = display(drawn, display_id=True)
        else:
            self._handle.update(drawn)


def _line(standing: Standing, text: str) -> str:
    """The share that is done, the text, and the time left."""
    parts = (f"{standing.share:.0%}", text, standing.left_beside(text))
    return ", ".join(part for part in parts if part)
