"""Numbers, shapes and decompositions as short texts, for tables, sentences and labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import documents


def duration(seconds: float) -> str:
    """Return a latency with three digits in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def known(value: float | None) -> float:
    """Return a number of a row that was timed (see `timed`), which is never None."""
    assert value is not None
    return value


def timed(rows: Iterable[documents.Row]) -> list[documents.Row]:
    """Return the rows with a latency and a speedup: in the context `marginal`, a layer whose
    input and output differ has a saving only."""
    return [row for row in rows if row.latency_s is not None and row.speedup is not None]


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many decimals; nothing for None."""
    return "" if value is None else f"{value:.{digits}f}"


def decomposition(value: documents.Decomposition) -> str:
    """Return a decomposition's kind and ranks."""
    return str(value.record())


def with_count(row: documents.Row) -> str:
    """Return the layer's name, and how many layers the row is of."""
    return row.layer + (f" (x{row.count})" if row.count > 1 else "")


def shape(spec: dict[str, Any] | None, arrow: str = "->") -> str:
    """Return a layer's kernel and channels, such as 3x3 64->128."""
    if spec is None:
        return ""
    kernel = "" if spec["op"] == "linear" else "x".join(map(str, spec["kernel_size"])) + " "
    return f"{kernel}{spec['in_channels']}{arrow}{spec['out_channels']}"
