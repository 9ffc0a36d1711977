"""Speedup tables from memory: made once for every change of the store, served many times.

Reading must not disturb a measurement. So a table is made by one thread at a time, kept as
bytes, and, while a job runs, made anew at most every few seconds.
"""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from .. import documents
from ..workflow.table import stored_table
from .columns import columns_of

T = TypeVar("T")
KEPT = 64
AGE_S = 5.0
"""While a job runs, a table may be this old."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows. `network` is a SHA-256."""

    network: str | None = None
    device: str | None = None
    layer: str | None = None
    phase: str | None = None
    dtype: str | None = None
    verdict: str | None = None


@dataclass(slots=True)
class _Kept:
    stamp: str
    made: float
    value: Any


class Tables:
    """A cache of documents and of what was written from them."""

    def __init__(self, store: Any, busy: Callable[[], bool]) -> None:
        self._store, self._busy = store, busy
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._lock = threading.RLock()

    def document(self, query: Query) -> documents.Table:
        """All rows that fit."""
        return self.cached(query, lambda: self._make(query))

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, remembered until the store changes."""
        kept = self._kept.get(key)
        if kept is not None and self._fresh(kept):
            return cast("T", kept.value)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and self._fresh(kept):
                return cast("T", kept.value)
            stamp = self._store.measurements.stamp()
            if kept is None or kept.stamp != stamp:
                kept = _Kept(stamp, 0.0, make())
                self._kept[key] = kept
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            kept.made = time.monotonic()
            return cast("T", kept.value)

    def _fresh(self, kept: _Kept) -> bool:
        if self._busy() and time.monotonic() - kept.made < AGE_S:
            return True
        return bool(kept.stamp == self._store.measurements.stamp())

    def _make(self, query: Query) -> documents.Table:
        devices, dtypes = ([one] if one else [] for one in (query.device, query.dtype))
        wanted = (query.network, devices, query.layer, query.phase, dtypes)
        table = stored_table(self._store, *wanted)
        if query.verdict is not None:
            table.rows = [row for row in table.rows if row.verdict == query.verdict]
        return table

    def page(self, query: Query, limit: int, offset: int) -> tuple[bytes, int]:
        """A page of the rows as a JSON document, and how many rows there are in all."""

        def make() -> tuple[bytes, int]:
            table = self.document(query)
            part = documents.Table(
                rows=table.rows[offset : offset + limit],
                failures=table.failures,
                odd_boards=table.odd_boards,
            )
            return part.model_dump_json().encode(), len(table.rows)

        return self.cached((query, limit, offset), make)

    def by_columns(self, query: Query) -> tuple[bytes, int]:
        """All rows by columns as JSON, and how many there are."""

        def make() -> tuple[bytes, int]:
            table = self.document(query)
            return columns_of(table).model_dump_json().encode(), len(table.rows)

        return self.cached((query, "columns"), make)

    def written(self, query: Query, format: str) -> bytes:
        """All rows as CSV or Parquet."""
        return self.cached((query, format), lambda: _written(self.document(query), format))


def _written(table: documents.Table, format: str) -> bytes:
    from ..report.formats import frame

    rows = frame(table)
    if format == "csv":
        return str(rows.to_csv(index=False)).encode()
    stream = io.BytesIO()
    rows.to_parquet(stream, index=False)
    return stream.getvalue()
