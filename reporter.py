"""How long work tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Listens to progress; must return quickly, because measuring goes on around it."""

    def message(self, text: str) -> None:
        """One line worth keeping."""
        ...

    def progress(self, done: float, total: float, text: str) -> None:
        """`done` of `total` steps; `text` is what is being done now."""
        ...


class Silent:
    """Tells nobody."""

    def message(self, *_: object, **__: object) -> None:
        return None

    def progress(self, *_: object, **__: object) -> None:
        return None
