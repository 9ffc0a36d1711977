"""The speedup table as text, and the rows of every other text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from textwrap import fill

from rich.style import Style

from .. import documents
from .best_rows import BUDGETS, budget_cells, by_layer
from .cells import decomposition
from .dtype_comparison import dtype_grid
from .fitting import Grid, fitted, folded
from .shown import Rows, Sentence, Shown
from .table_columns import COLUMNS, USUAL, cells
from .table_summary import summary_lines
from .table_view import EVERYTHING, TableView

VERDICT_STYLES = {"FASTER": "green", "SLOWER": "red", "SAME": "dim", "UNDECIDED": "yellow"}

BEST_NOTE = (
    "keeps 1/2: the fastest candidate that keeps half of the layer's multiply-accumulates, its "
    "speedup, and "
)
LOST_NOTE = "the share of them that is lost"
ERROR_NOTE = (
    "about what it alone does to the network error (err), on the pictures of the latest plan or "
    "front"
)


def table(
    document: documents.Table, view: TableView = EVERYTHING, width: int | None = None
) -> Iterator[Shown]:
    """Show what the view shows of the table, the failures, and what it all amounts to.

    `width`: letters a line (None: as many as it takes).
    """
    form = next(made for wanted, made in FORMS.items() if not wanted or getattr(view, wanted))
    laid_out = form(document.rows, view)
    grid = fitted(laid_out.grid, width)
    yield Rows(grid.columns, grid.lines, right=laid_out.right, style=_style)
    for name, value in grid.shared:
        yield Sentence(f"{name}: {value}")
    yield from failed(document.failures)
    for board in document.odd_boards:
        yield Sentence(odd_board(board), "yellow")
    for sentence in [*laid_out.notes, *summary_lines(document, laid_out.shown)]:
        yield Sentence(sentence if width is None else fill(sentence, width, subsequent_indent="  "))


def speedup_table_text(
    document: documents.Table, view: TableView = EVERYTHING, width: int | None = None
) -> str:
    """Return what `table` shows as text, with styles where it goes to a terminal."""
    styled = coloured()
    lines: list[str] = []
    for part in table(document, view, width):
        lines += [part.text] if isinstance(part, Sentence) else row_lines(part, styled)
    return "\n".join(lines) + "\n"


def row_lines(rows: Rows, styled: bool, width: int | None = None) -> Iterator[str]:
    """Yield the rows as lines of text: a header and then each line of cells, padded so that columns
    stand below each other; with `width`, what is too long for it as `folded` has it.

    Without `styled` there are no escape codes.
    """
    # rich's own tables take half a millisecond a row, and stores answer with thousands of rows
    wanted = [list(line) for line in rows.lines]
    styles = ["bold", *map(rows.style, wanted)] if styled else [""] * (len(wanted) + 1)
    grid, found = folded(Grid(rows.columns, wanted), width)
    parts: list[list[Sequence[str]]] = [[grid.columns], *found]
    widths = [max(map(len, column)) for column in zip(*chain(*parts), strict=True)]
    pads = [str.rjust if name in rows.right else str.ljust for name in grid.columns]
    for part, style in zip(parts, styles, strict=True):
        for line in part:
            cells = (pad(cell, size) for pad, cell, size in zip(pads, line, widths, strict=True))
            text = "  ".join(cells).rstrip()
            yield Style.parse(style).render(text) if style else text


@dataclass(frozen=True, slots=True)
class _LaidOut:
    """A table's cells: columns in `right` end below each other, `notes` say what cells mean, and so
    many rows of the table are `shown`."""

    grid: Grid
    right: Sequence[str]
    shown: int
    notes: Sequence[str] = ()


def _plain(rows: Sequence[documents.Row], view: TableView) -> _LaidOut:
    rows, columns = view.rows(rows), view.columns or USUAL
    right = [name for name in columns if COLUMNS[name].right]
    return _LaidOut(Grid(columns, cells(rows, columns)), right, len(rows))


def _dtypes(rows: Sequence[documents.Row], view: TableView) -> _LaidOut:
    columns, lines, notes = dtype_grid(rows, view.verdicts)
    return _LaidOut(Grid(columns, lines[: view.top]), ["x"], len(rows), notes)


def _best(rows: Sequence[documents.Row], view: TableView) -> _LaidOut:
    """A line a layer: its share of the time, and its best candidate at each rank budget."""
    layers = by_layer(rows)
    total_s = sum(layer.original_s for layer in layers)
    layers = view.layers(layers)
    lines = [
        [
            *cells([layer.first], ("layer", "x", "shape", "device"))[0],
            f"{layer.original_s / total_s:.1%}" if total_s else "",
            *budget_cells(layer),
        ]
        for layer in layers
    ]
    columns = ("layer", "x", "shape", "device", "time", *BUDGETS)
    return _LaidOut(Grid(columns, lines), ["x", "time"], len(rows), [_best_note(rows)])


FORMS = {"by_dtype": _dtypes, "best": _best, "": _plain}
"""What a view asks for -> how its table is laid out; the last one if it asks for nothing."""


def _best_note(rows: Iterable[documents.Row]) -> str:
    """What the cells of the best rows say."""
    known = any(row.network_error is not None for row in rows)
    return BEST_NOTE + (ERROR_NOTE if known else LOST_NOTE)


def _style(line: Sequence[str]) -> str:
    return next((VERDICT_STYLES[cell] for cell in line if cell in VERDICT_STYLES), "")


def coloured() -> bool:
    """Whether standard output takes colours: a terminal, unless NO_COLOR is set or it is dumb."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()


def odd_board(board: documents.OddBoard) -> str:
    """Return one sentence: which board, how far it is from its kind, how sure that is."""
    name = "a board without a number" if board.board is None else f"board {board.board[:8]}"
    where = f"{name} ({', '.join(board.hosts)}) of {board.device.backend}"
    kind = f"{board.device.hardware_key[:6]} differs from its kind"
    what = {"latency": "its layers take", "speedup": "its speedups are"}[board.quantity]
    interval = f"{board.low:.3f}-{board.high:.3f} over {board.specs} layers"
    return f"{where} {kind}: {what} {board.ratio:.3f} times the median board's ({interval})"


def failed(failures: Iterable[documents.Failure]) -> Iterator[Sentence]:
    """Yield one sentence for each failure."""
    for one in failures:
        what = f"{one.layer} {decomposition(one.decomposition)}"
        yield Sentence(f"failed: {what}: {one.stage}: {one.reason}", "red")
