"""Columns of text. A terminal library's tables take half a millisecond a row, and a store that
is asked about twenty devices answers with thousands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from rich.style import Style

GAP = "  "


def aligned(
    columns: Sequence[str],
    lines: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
    style: Callable[[Sequence[str]], str] | None = None,
) -> Iterator[str]:
    """A header and then each line of cells, padded so that columns stand below each other.

    `right` names the columns whose cells end at the same place. `style` gives a line's style
    in rich's words (`green`, `dim`, empty for none); without it there are no escape codes.
    """
    rows = [list(columns), *(list(line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pads = [str.rjust if name in right else str.ljust for name in columns]
    for number, row in enumerate(rows):
        cells = (pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True))
        text = GAP.join(cells).rstrip()
        wanted = "" if style is None else style(row) if number else "bold"
        yield Style.parse(wanted).render(text) if wanted else text
