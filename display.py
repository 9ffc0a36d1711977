"""Progress where nobody else shows it: in a notebook a bar, elsewhere lines on standard error."""

from __future__ import annotations

import html
import sys
import time
from typing import Any, Protocol

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
        self._verb, self._pace = verb, Pace()
        self._next = NOT_BEFORE_S

    def message(self, text: str) -> None:
        print(f"{self._verb}: {text}", file=sys.stderr)

    def progress(self, done: float, total: float, text: str) -> None:
        if self._pace.elapsed_s >= self._next:
            self._next = self._pace.elapsed_s + LINE_S
            self.message(self._pace.line(done, total, text))

    def close(self) -> None:
        """Nothing is left open."""


class NotebookDisplay:
    """One bar with a line of text, below it messages; needs neither scripts nor widgets."""

    def __init__(self, verb: str) -> None:
        self._verb, self._pace = verb, Pace()
        self._handle: Any = None
        self._messages: list[str] = []
        self._bar = ""
        self._next = DRAWN_S

    def message(self, text: str) -> None:
        self._messages.append(text)
        self._draw()

    def progress(self, done: float, total: float, text: str) -> None:
        if self._pace.elapsed_s < self._next:
            return
        self._next = self._pace.elapsed_s + DRAWN_S
        share = done / total if total else 0.0
        said = html.escape(f"{self._verb}: {self._pace.line(done, total, text)}")
        self._bar = f'<progress value="{share:.4f}" max="1"></progress> {said}'
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


class Pace:
    """How long the work has taken, and will take at the pace so far."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def line(self, done: float, total: float, text: str) -> str:
        """The share that is done, the text, and the time left unless the text says that."""
        share = done / total if total else 0.0
        left = "" if "left" in text or not 0 < share < 1 else f", {self._left(share)} left"
        return f"{min(share, 1.0):.0%}, {text}{left}"

    def _left(self, share: float) -> str:
        seconds = self.elapsed_s * (1 - share) / share
        return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
