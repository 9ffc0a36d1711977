"""How long work tells what it is doing, without knowing who listens.

Two sorts of listeners: a `Reporter` is shown lines and how far the work is, a `Tracker` keeps what
was asked, numbers by step, and documents. A verb takes one of either sort, or several, as
`reporter`; what it hands on is all of them as one, `Listeners`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from .display import display_here
from .errors import GoalNotReached, first_line

R = TypeVar("R")


@runtime_checkable
class Reporter(Protocol):
    """Listens to progress; must return quickly, because measuring goes on around it."""

    def message(self, text: str) -> None:
        """One line worth keeping."""
        ...

    def progress(self, done: float, total: float, text: str) -> None:
        """`done` of `total` steps; `text` is what is being done now."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """Keeps what verbs do, such as a run of an experiment tracker (`rankwise.tracking`)."""

    def began(self, verb: str, options: Mapping[str, Any]) -> None:
        """A verb begins, with these options; another may begin within it."""
        ...

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name at a step of the verb that is being done."""
        ...

    def ended(self, verb: str, result: Any) -> None:
        """The verb has returned `result`, most often a document; None if it failed."""
        ...


Listening = Reporter | Tracker | Sequence[Reporter | Tracker]
"""What a verb takes as `reporter`."""


class Teller(Protocol):
    """What work tells of itself, whoever listens."""

    def message(self, text: str) -> None: ...

    def progress(self, done: float, total: float, text: str) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...


class Silent:
    """Tells nobody."""

    def message(self, *_: object, **__: object) -> None:
        return None

    def progress(self, *_: object, **__: object) -> None:
        return None

    def metrics(self, *_: object, **__: object) -> None:
        return None


class Listeners:
    """All that listen, as one. A tracker that fails is left out from then on, and that is said
    once: what was measured is worth more than what is written of it elsewhere."""

    def __init__(self, listeners: Sequence[Reporter | Tracker]) -> None:
        self._reporters = [one for one in listeners if isinstance(one, Reporter)]
        self._trackers = [one for one in listeners if isinstance(one, Tracker)]

    @classmethod
    def of(cls, given: Listening | None) -> Listeners:
        """Those that were given; several that were made one already stay as they are."""
        if isinstance(given, Listeners):
            return given
        if given is None:
            return cls(())
        return cls(given if isinstance(given, Sequence) else (given,))

    @property
    def shown(self) -> bool:
        """Whether anybody is shown how far the work is."""
        return bool(self._reporters)

    def and_shown(self, display: Reporter) -> Listeners:
        """The same, and progress is shown there."""
        return Listeners([display, *self._reporters, *self._trackers])

    def message(self, text: str) -> None:
        for one in self._reporters:
            one.message(text)

    def progress(self, done: float, total: float, text: str) -> None:
        for one in self._reporters:
            one.progress(done, total, text)

    def began(self, verb: str, options: Mapping[str, Any]) -> None:
        self._track(lambda tracker: tracker.began(verb, options))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self._track(lambda tracker: tracker.metrics(values, step))

    def ended(self, verb: str, result: Any) -> None:
        self._track(lambda tracker: tracker.ended(verb, result))

    def _track(self, tell: Callable[[Tracker], None]) -> None:
        for tracker in tuple(self._trackers):
            try:
                tell(tracker)
            except Exception as error:
                self._trackers.remove(tracker)
                name = type(tracker).__name__
                self.message(f"{name} failed and hears no more of this: {first_line(error)}")


def heard(
    verb: str,
    given: Listening | None,
    options: Mapping[str, Any],
    work: Callable[[Listeners], R],
) -> R:
    """Do a verb's work; all listeners hear of it. Where none of them shows progress, a notebook
    or standard error does."""
    listeners = Listeners.of(given)
    display = None if listeners.shown else display_here(verb)
    told = listeners if display is None else listeners.and_shown(display)
    told.began(verb, options)
    result = None
    try:
        result = work(told)
        return result
    except GoalNotReached as error:
        result = error.document
        raise
    finally:
        told.ended(verb, result)
        if display is not None:
            display.close()
