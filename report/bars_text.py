"""Latency over rank as bars of text."""

from __future__ import annotations

from collections.abc import Iterator

from ..documents import Row, Table
from .cells import duration, known
from .rank_groups import by_layer, drawn_kinds, original_of, ranks

BAR = 50
"""Characters that the slowest bar has."""


def bars_text(table: Table) -> str:
    """Draw bars of text, a block for each layer, kind and device; the last line of each is the
    original. Raises `UsageError` if there is nothing to draw."""
    blocks = [same for rows in by_layer(table) for same in drawn_kinds(rows).values()]
    return "\n".join("\n".join(_bars(rows)) + "\n" for rows in blocks)


def _bars(rows: list[Row]) -> Iterator[str]:
    first, original = rows[0], original_of(rows)
    longest = max(original, *(known(row.latency_s) for row in rows))
    wide = max(len(ranks(row)) for row in rows)
    yield f"{first.layer} {first.decomposition.kind} on {first.device.backend}"
    for row in rows:
        seconds = known(row.latency_s)
        bar = "#" * max(round(BAR * seconds / longest), 1)
        yield f"{ranks(row):>{wide}} {duration(seconds):>8} {bar} {row.verdict.lower()}"
    bar = "=" * max(round(BAR * original / longest), 1)
    yield f"{'-':>{wide}} {duration(original):>8} {bar} original"
