"""What is shown of a document, before it is known where: rows of cells, and sentences.

A document's class has one function that yields these (`parts.PARTS`); the terminal (`text`) and a
notebook (`notebook`) each write them in their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

Line = Sequence[str]


def _plain(_line: Line) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Lines of cells below their columns' names.

    `right` names the columns whose cells end at the same place; `style` gives a line's style in
    rich's words (`green`, `dim`; empty for none), which says nothing that its text does not.
    """

    columns: Sequence[str]
    lines: Iterable[Line]
    right: Collection[str] = ()
    style: Callable[[Line], str] = field(default=_plain)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A line of text with its style. `whole`: it is not broken where a terminal is narrow, because
    it is something to copy."""

    text: str
    style: str = ""
    whole: bool = False


Shown = Rows | Sentence
