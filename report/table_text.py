"""The speedup table as text, and the rows of every other text."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from textwrap import fill

from rich.console import Console
from rich.style import Style

from .. import documents
from .best_rows import BUDGETS, budget_cells, by_layer
from .cells import decomposition
from .fitting import Grid, fitted
from .table_columns import COLUMNS, USUAL, cells
from .table_summary import summary_lines
from .table_view import EVERYTHING, TableView

VERDICT_STYLES = {"FASTER": "green", "SLOWER": "red", "SAME": "dim", "UNDECIDED": "yellow"}

BEST_NOTE = (
    "keeps 1/2: the fastest candidate that keeps half of the layer's multiply-accumulates, its "
    "speedup, and the share of them that is lost"
)


def speedup_table_text(
    table: documents.Table, view: TableView = EVERYTHING, width: int | None = None
) -> str:
    """Return what the view shows of the table, the failures, and what it all amounts to.

    `width`: letters a line (None: as many as it takes).
    """
    rows = view.rows(table.rows)
    grid, right = _best_grid(table.rows, view) if view.best else _grid(rows, view)
    grid = fitted(grid, width)
    lines = [
        *aligned(grid.columns, grid.lines, right=right, style=_style if coloured() else None),
        *(f"{name}: {value}" for name, value in grid.shared),
        *map(_failed, table.failures),
        *_wrapped([BEST_NOTE] if view.best else [], width),
        *_wrapped(summary_lines(table, len(table.rows if view.best else rows)), width),
    ]
    return "\n".join(lines) + "\n"


def _wrapped(sentences: Sequence[str], width: int | None) -> Iterator[str]:
    for sentence in sentences:
        yield sentence if width is None else fill(sentence, width, subsequent_indent="  ")


def _grid(rows: Sequence[documents.Row], view: TableView) -> tuple[Grid, list[str]]:
    columns = view.columns or USUAL
    return Grid(columns, cells(rows, columns)), [name for name in columns if COLUMNS[name].right]


def _best_grid(rows: Sequence[documents.Row], view: TableView) -> tuple[Grid, list[str]]:
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
    return Grid(columns, lines), ["x", "time"]


def _style(line: Sequence[str]) -> str:
    return next((VERDICT_STYLES[cell] for cell in line if cell in VERDICT_STYLES), "")


def coloured() -> bool:
    """Whether standard output takes colours: a terminal, unless NO_COLOR is set or it is dumb."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()


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
    for line in aligned(
        columns, lines, right=right, style=style if _takes_colours(console) else None
    ):
        console.file.write(line + "\n")


def _takes_colours(console: Console) -> bool:
    return console.color_system is not None and not console.no_color


def _failed(failure: documents.Failure) -> str:
    what = f"{failure.layer} {decomposition(failure.decomposition)}"
    return f"failed: {what}: {failure.stage}: {failure.reason}"


def print_failures(console: Console, failures: Sequence[documents.Failure]) -> None:
    """Print one line for each failure."""
    for failure in failures:
        console.print(_failed(failure), style="red", markup=False)
