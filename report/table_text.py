"""The speedup table as text, and the rows of every other text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from rich.style import Style

from .. import documents
from .cells import decomposition, duration, number
from .shown import Rows, Sentence, Shown

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


def table(document: documents.Table) -> Iterator[Shown]:
    """Show the table, its failures, and how many rows have which verdict."""
    yield Rows(
        COLUMNS,
        table_lines(document),
        right=("x", "latency", "speedup", "interval"),
        style=lambda line: VERDICT_STYLES.get(line[-1], ""),
    )
    yield from failed(document.failures)
    counts = {v: sum(row.verdict == v for row in document.rows) for v in VERDICT_STYLES}
    yield Sentence(
        f"{len(document.rows)} rows: " + ", ".join(f"{n} {v}" for v, n in counts.items())
    )


def speedup_table_text(document: documents.Table) -> str:
    """Return the table as text, with styles where it goes to a terminal."""
    styled = sys.stdout.isatty()
    lines: list[str] = []
    for part in table(document):
        lines += [part.text] if isinstance(part, Sentence) else row_lines(part, styled)
    return "\n".join(lines) + "\n"


def row_lines(rows: Rows, styled: bool) -> Iterator[str]:
    """Yield the rows as lines of text, `aligned`."""
    style = rows.style if styled else None
    return aligned(rows.columns, rows.lines, right=rows.right, style=style)


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


def failed(failures: Iterable[documents.Failure]) -> Iterator[Sentence]:
    """Yield one sentence for each failure."""
    for one in failures:
        what = f"{one.layer} {decomposition(one.decomposition)}"
        yield Sentence(f"failed: {what}: {one.stage}: {one.reason}", "red")
