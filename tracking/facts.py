"""What goes to a tracker: options in a word, a document's numbers by name, verbs by their names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..documents import Document

NOT_TOLD = {"schema_version"}
MAX_TEXT = 500
"""Letters of an option that are told."""

Said = bool | int | float | str


def settings(options: Mapping[str, Any]) -> dict[str, Said]:
    """Return the options that can be said in a word or a number. Of a network without a name its
    class is told; examples and documents are left out."""
    told = {name: _said(value) for name, value in options.items()}
    if told.get("model") == "":
        kind = type(options["model"])
        told["model"] = f"{kind.__module__}:{kind.__qualname__}"
    return {name: one for name, one in told.items() if one != ""}


def _said(value: Any) -> Said:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Path):
        return str(value)[:MAX_TEXT]
    if isinstance(value, list | tuple):
        return ", ".join(str(_said(one)) for one in value)[:MAX_TEXT]
    return str(getattr(value, "__qualname__", ""))


def numbers(document: Document) -> dict[str, float]:
    """Return all numbers of a document that are not in a list, by their names with dots."""
    return dict(_numbers(document.model_dump(), ""))


def _numbers(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{name}.")
        elif isinstance(value, int | float) and name not in NOT_TOLD and math.isfinite(value):
            yield name, float(value)


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return those that are numbers: trackers do not draw others."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


class VerbNames:
    """Names under which verbs are kept in one run: `plan`, then `plan_2`, ..."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        """`taken`: the names of what is in the run already, with dots."""
        self._taken = {name.partition(".")[0] for name in taken}
        self._open: list[str] = []

    def begin(self, verb: str) -> str:
        """Return the name of a verb that begins."""
        later = (f"{verb}_{number}" for number in range(2, len(self._taken) + 3))
        name = next(one for one in (verb, *later) if one not in self._taken)
        self._taken.add(name)
        self._open.append(name)
        return name

    @property
    def current(self) -> str:
        """The name of the verb that is being done, the innermost one."""
        return self._open[-1]

    @property
    def within(self) -> bool:
        """Whether any verb is being done."""
        return bool(self._open)

    def end(self) -> str:
        """Return the name of the verb that is over."""
        return self._open.pop()
