"""Documents in a notebook: HTML that needs no script and no style sheet.

Notebooks, and the pages that show them, drop scripts, and some drop style sheets, too: styles are
attributes here. Letters keep the notebook's own colours, so that they can be read on a light and
on a dark ground; a line's style is a mark at its left, beside the word that says the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from .. import documents
from .markup import Html, tag
from .parts import parts
from .shown import Line, Rows, Sentence
from .text import text as text

MAX_LINES = 200
"""Lines of a table that are shown; a notebook keeps in its file what it shows."""
MARKS = {"green": "#1a7f37", "red": "#cf222e", "yellow": "#bf8700"}
LONG = 60
"""Letters of a cell that are still written in one line."""


def html(document: documents.Document) -> Html:
    """Return a document's headline, its tables and its sentences as HTML."""
    name = document.kind.removeprefix("rankwise.").replace("_", "-")
    title = tag("strong", f"{name}: {document.headline}")
    return tag("div", tag("p", title), *_elements(document), style="overflow-x:auto")


def _elements(document: documents.Document) -> Iterator[Html]:
    """Yield tables, and sentences that follow each other as one paragraph."""
    sentences: list[Html] = []
    for part in parts(document):
        if isinstance(part, Sentence):
            sentences.append(_sentence(part))
            continue
        yield from _paragraph(sentences)
        sentences.clear()
        yield from _table(part)
    yield from _paragraph(sentences)


def _sentence(sentence: Sentence) -> Html:
    style = f"white-space:pre-wrap;{_marked(sentence.style)}"
    return tag("div", sentence.text, style=style)


def _paragraph(sentences: Sequence[Html]) -> Iterator[Html]:
    if sentences:
        yield tag("div", *sentences, style="margin:.5em 0")


def _table(rows: Rows) -> Iterator[Html]:
    lines = iter(rows.lines)
    shown = list(islice(lines, MAX_LINES))
    heads = (tag("th", name, style=_cell(rows, name), scope="col") for name in rows.columns)
    body = tag("tbody", *(_line(rows, line) for line in shown))
    yield tag("table", tag("thead", tag("tr", *heads)), body)
    if more := sum(1 for _ in lines):
        yield tag("p", f"{more} more lines are not shown here; the document has them all")


def _line(rows: Rows, line: Line) -> Html:
    style = rows.style(line)
    cells = (
        tag("td", cell, style=_cell(rows, name, cell) + (_marked(style) if place == 0 else ""))
        for place, (name, cell) in enumerate(zip(rows.columns, line, strict=True))
    )
    return tag("tr", *cells, style="opacity:.7" if style == "dim" else None)


def _cell(rows: Rows, name: str, text: str = "") -> str:
    width = f"min-width:{LONG // 2}em;" if len(text) > LONG else "white-space:nowrap;"
    side = "right" if name in rows.right else "left"
    return f"padding:.15em .7em;text-align:{side};vertical-align:top;{width}"


def _marked(style: str) -> str:
    return f"border-left:3px solid {MARKS[style]};padding-left:.5em;" if style in MARKS else ""
