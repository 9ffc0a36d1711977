"""What of a speedup table is shown: which rows, in which order, in which columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from .. import documents
from ..errors import UsageError, did_you_mean
from ..records import Verdict
from .best_rows import LayerRows, best_rows
from .table_columns import known_column, sorted_rows

VERDICTS = tuple(verdict.value for verdict in Verdict)


@dataclass(frozen=True, slots=True)
class TableView:
    """`best`: only rows that are the best of their layer at some rank budget. Rows are filtered
    first, then sorted, then cut to the `top` ones. No columns: the usual ones. `by_dtype`: a
    candidate's dtypes side by side."""

    best: bool = False
    sort: str | None = None
    verdicts: tuple[str, ...] = ()
    top: int | None = None
    columns: tuple[str, ...] = ()
    by_dtype: bool = False

    @classmethod
    def of(
        cls,
        best: bool,
        sort: str | None,
        verdicts: Sequence[str],
        top: int | None,
        columns: str | None,
        by_dtype: bool = False,
    ) -> Self:
        """The view that words of the command line ask for. Raises `UsageError` for unknown ones."""
        if top is not None and top < 1:
            raise UsageError(f"--top must be at least 1, not {top}")
        wanted = tuple(_verdict(word) for text in verdicts for word in text.split(","))
        named = tuple(known_column(name) for name in columns.split(",")) if columns else ()
        return cls(best, sort and known_column(sort), wanted, top, named, by_dtype)

    def rows(self, rows: Sequence[documents.Row]) -> list[documents.Row]:
        """Return the rows that are shown, in their order."""
        found = [row for row in rows if not self.verdicts or row.verdict in self.verdicts]
        found = best_rows(found) if self.best else found
        found = sorted_rows(found, self.sort) if self.sort else found
        return found if self.top is None else found[: self.top]

    def layers(self, layers: Sequence[LayerRows]) -> list[LayerRows]:
        """Return the layers that are shown, each sorted by its best candidate, if it has one."""
        found = list(layers)
        if self.sort:
            of = {id(row): one for one in found for row in [one.best() or one.first]}
            best = [one.best() or one.first for one in found]
            found = [of[id(row)] for row in sorted_rows(best, self.sort)]
        return found if self.top is None else found[: self.top]


EVERYTHING = TableView()


def _verdict(word: str) -> str:
    verdict = word.strip().upper()
    if verdict not in VERDICTS:
        hint = did_you_mean(verdict, VERDICTS)
        raise UsageError(f"there is no verdict {word!r}{hint}; known are {', '.join(VERDICTS)}")
    return verdict
