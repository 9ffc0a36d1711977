"""The columns of the speedup table as people read it: what each shows of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .. import documents
from ..errors import UsageError, did_you_mean
from .cells import decomposition, duration, number, shape

Rows = Sequence[documents.Row]


@dataclass(frozen=True, slots=True)
class Column:
    """What a row says in this column. `right`: cells end below each other. `value` is what rows
    are sorted by where the text is not: what matters most comes first."""

    cell: Callable[[documents.Row], str]
    right: bool = False
    value: Callable[[documents.Row], float] | None = None


def _last(value: float | None) -> float:
    """Sorts what is not known behind everything."""
    return float("-inf") if value is None else value


def _saving(row: documents.Row) -> str:
    """The saving of all layers that share the spec."""
    saved_s = row.saving_s * row.count
    return ("-" if saved_s < 0 else "") + duration(abs(saved_s))


def _interval(row: documents.Row) -> str:
    return "" if row.speedup is None else f"{row.speedup_low:.2f}-{row.speedup_high:.2f}"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


COLUMNS: Mapping[str, Column] = {
    "layer": Column(lambda row: row.layer),
    "x": Column(lambda row: str(row.count), right=True, value=lambda row: row.count),
    "op": Column(lambda row: row.op),
    "shape": Column(lambda row: shape(row.spec)),
    "decomposition": Column(lambda row: decomposition(row.decomposition)),
    "dtype": Column(lambda row: str(row.policy.get("dtype", ""))),
    "device": Column(lambda row: f"{row.device.backend} {row.device.hardware_key[:6]}"),
    "original": Column(
        lambda row: _time(row.original_latency_s),
        right=True,
        value=lambda row: _last(row.original_latency_s),
    ),
    "latency": Column(
        lambda row: _time(row.latency_s), right=True, value=lambda row: _last(row.latency_s)
    ),
    "saving": Column(_saving, right=True, value=lambda row: row.saving_s * row.count),
    "speedup": Column(
        lambda row: number(row.speedup, 2), right=True, value=lambda row: _last(row.speedup)
    ),
    "interval": Column(_interval, right=True, value=lambda row: _last(row.speedup_low)),
    "verdict": Column(lambda row: row.verdict),
    "error": Column(
        lambda row: number(row.network_error),
        right=True,
        value=lambda row: _last(row.network_error),
    ),
    "MMACs": Column(lambda row: f"{row.macs / 1e6:.1f}", right=True, value=lambda row: row.macs),
    "params": Column(lambda row: str(row.params), right=True, value=lambda row: row.params),
    "boards": Column(lambda row: str(row.boards), right=True, value=lambda row: row.boards),
    "measured": Column(lambda row: row.measured_at[:16], value=None),
}
USUAL = ("layer", "x", "decomposition", "device", "latency", "speedup", "interval", "verdict")
"""The columns that are shown unless told otherwise."""


def known_column(name: str, known: Mapping[str, object] | Sequence[str] = COLUMNS) -> str:
    """Return the name as it is written in the table; `UsageError` for one that is none."""
    for column in known:
        if column.lower() == name.strip().lower():
            return column
    hint = did_you_mean(name, known)
    raise UsageError(f"there is no column {name!r}{hint}; known are {', '.join(known)}")


def cells(rows: Rows, columns: Sequence[str]) -> list[list[str]]:
    """Return the rows' cells. Parts of the policy that are not the same in all rows (threads,
    phase, ...) stand beside the device."""
    first = rows[0].policy if rows else {}
    varying = [n for n in first if any(row.policy.get(n) != first[n] for row in rows)]
    return [[_cell(row, name, varying) for name in columns] for row in rows]


def _cell(row: documents.Row, name: str, varying: Sequence[str]) -> str:
    text = COLUMNS[name].cell(row)
    if name != "device":
        return text
    policy = "".join(f", {part} {row.policy.get(part)}" for part in varying)
    return f"{text}{policy}{' (stale)' * row.stale}"


def sorted_rows(rows: Rows, column: str) -> list[documents.Row]:
    """Return the rows by a column: numbers from the largest, texts by the alphabet."""
    found = COLUMNS[known_column(column)]
    if found.value is not None:
        return sorted(rows, key=found.value, reverse=True)
    return sorted(rows, key=found.cell)
