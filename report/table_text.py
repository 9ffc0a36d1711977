"""The speedup table as text, and the rows of every other text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from rich.console import Console
from rich.style import Style

from .. import documents
from .cells import decomposition, duration, number

COLUMNS = ("layer", "x", "decomposition", "device", "latency", "speedup", "interval", "verdict")
VERDICT_STYLES = {"FASTER": "green", "SLOWER": "red", "SAME": "dim", "UNDECIDED": "yellow"}


def table_lines(table: documents.Table) -> list[list[str]]:
    """Return the speedup table's rows, by `COLUMNS`. Parts of the policy that are not the same in
    all rows (threads, phase, ...) stand beside the device."""
    first = table.rows[0].policy if table.rows else {}
    varying = [n for n in first if any(row.policy.get(n) != first[n] for row in table.rows)]
    return [_cells(row, varying) for row in table.rows]


def _cells(row: documents.Row, varying: Sequence[str]) -> list[str]:
    policy = "".join(f", {name} {row.policy.get(name)}" for name in varying)
    return [
        row.layer,
        str(row.count),
        decomposition(row.decomposition),
        f"{row.device.backend} {row.device.hardware_key[:6]}{policy}{' (stale)' * row.stale}",
        "" if row.latency_s is None else duration(row.latency_s),
        number(row.speedup, 2),
        "" if row.speedup is None else f"{row.speedup_low:.2f}-{row.speedup_high:.2f}",
        row.verdict,
    ]


def speedup_table_text(table: documents.Table) -> str:
    """Return the table, its failures, and how many rows have which verdict."""
    counts = {v: sum(row.verdict == v for row in table.rows) for v in VERDICT_STYLES}
    lines = [
        *aligned(
            COLUMNS,
            table_lines(table),
            right=("x", "latency", "speedup", "interval"),
            style=(lambda line: VERDICT_STYLES.get(line[-1], "")) if sys.stdout.isatty() else None,
        ),
        *map(_failed, table.failures),
        f"{len(table.rows)} rows: " + ", ".join(f"{n} {v}" for v, n in counts.items()),
    ]
    return "\n".join(lines) + "\n"


def aligned(
    columns: Sequence[str],
    lines: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
    style: Callable[[Sequence[str]], str] | None = None,
) -> Iterator[str]:
    """Yield a header and then each line of cells, padded so that columns stand below each other.

    `right` names the columns whose cells end at the same place. `style` gives a line's style
    in rich's words (`green`, `dim`, empty for none); without it there are no escape codes.
    """
    # rich's own tables take half a millisecond a row, and stores answer with thousands of rows
    rows = [list(columns), *(list(line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pads = [str.rjust if name in right else str.ljust for name in columns]
    for index, row in enumerate(rows):
        cells = (pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True))
        text = "  ".join(cells).rstrip()
        wanted = "" if style is None else style(row) if index else "bold"
        yield Style.parse(wanted).render(text) if wanted else text


def print_rows(
    console: Console,
    columns: Sequence[str],
    lines: Iterable[Sequence[str]],
    right: Sequence[str] = (),
    style: Callable[[Sequence[str]], str] | None = None,
) -> None:
    """Print lines of cells below their columns' names; styles are for terminals (see `aligned`)."""
    for line in aligned(columns, lines, right=right, style=style if console.is_terminal else None):
        console.file.write(line + "\n")


def _failed(failure: documents.Failure) -> str:
    what = f"{failure.layer} {decomposition(failure.decomposition)}"
    return f"failed: {what}: {failure.stage}: {failure.reason}"


def print_failures(console: Console, failures: Sequence[documents.Failure]) -> None:
    """Print one line for each failure."""
    for failure in failures:
        console.print(_failed(failure), style="red", markup=False)
