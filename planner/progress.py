"""How long a plan may be looked for, and how long it will still take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..reporter import Teller


@dataclass(slots=True)
class Progress:
    """Work done and ahead, by sort (`pass over the pictures`, `timing session`), in units of
    which each takes about as long as those before it.

    What is ahead is as planned by the step that is being done and those after it. Until one of
    a sort was timed nothing is said of the time left.
    """

    reporter: Teller
    max_time_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _spent: dict[str, list[float]] = field(default_factory=dict)
    _ahead: dict[str, int] = field(default_factory=dict)
    _told: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def elapsed_s(self) -> float:
        return self.clock() - self._began

    @property
    def over(self) -> bool:
        """Whether the time that the user gave is up."""
        return self.max_time_s is not None and self.elapsed_s >= self.max_time_s

    def expect(self, sort: str, units: int) -> None:
        """So many units of this sort are ahead, in place of what was said before."""
        self._ahead[sort] = units

    def left_s(self) -> float | None:
        """Seconds that what is ahead will take; None while that is not known."""
        if not self._ahead:
            return None
        ahead = {sort: units for sort, units in self._ahead.items() if units}
        if any(sort not in self._spent for sort in ahead):
            return None
        return sum(
            units * sum(self._spent[sort]) / len(self._spent[sort]) for sort, units in ahead.items()
        )

    @contextmanager
    def unit(self, sort: str, text: str) -> Iterator[None]:
        """One unit of work, which is reported and timed."""
        self.say(text)
        began = self.clock()
        yield
        self._spent.setdefault(sort, []).append(self.clock() - began)
        self._ahead[sort] = max(0, self._ahead.get(sort, 0) - 1)

    def found(self, name: str, value: float) -> None:
        """A number that was measured on the way; those of one name are counted as steps."""
        self._told[name] += 1
        self.reporter.metrics({name: value}, self._told[name])

    def say(self, text: str) -> None:
        """Tell what is being done, with the time that is left where that is known."""
        left = self.left_s()
        share = self.elapsed_s / (self.elapsed_s + left) if left is not None else 0.0
        told = text if left is None else f"{text}, about {left:.0f} s left"
        self.reporter.progress(share, 1.0, told)
