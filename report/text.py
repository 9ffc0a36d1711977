"""Documents as text for a terminal."""

from __future__ import annotations

import shutil
import sys
from io import StringIO
from textwrap import TextWrapper

from rich.console import Console

from .. import documents
from .parts import parts
from .shown import Sentence
from .table_text import row_lines


def show(document: documents.Document) -> None:
    """Print a document for a person to read on standard output."""
    if sys.stdout.isatty():
        console = Console(highlight=False, emoji=False)
        _print(document, console, console.width)
        return
    piped_width = max(160, shutil.get_terminal_size().columns)  # 80 columns would squeeze it
    _print(document, Console(highlight=False, emoji=False, width=piped_width))


def text(document: documents.Document) -> str:
    """Return what `show` prints, without colours."""
    written = StringIO()
    _print(document, Console(file=written, highlight=False, emoji=False, width=160))
    return written.getvalue().rstrip("\n")


def _print(document: documents.Document, console: Console, width: int | None = None) -> None:
    """Write the document; rows are folded to the width, where there is one. What a program reads
    has a line a row."""
    for part in parts(document):
        if isinstance(part, Sentence):
            text = part.text if part.whole else broken(part.text, console.width)
            console.print(text, style=part.style or None, markup=False, soft_wrap=True)
            continue
        for line in row_lines(part, _takes_colours(console), width):
            console.file.write(line + "\n")


def _takes_colours(console: Console) -> bool:
    return console.color_system is not None and not console.no_color


def broken(sentence: str, width: int) -> str:
    """Return the sentence with lines of at most so many letters, broken between words; they go on
    a little to the right of where it begins."""
    lines = []
    for line in sentence.split("\n"):
        begin = line[: len(line) - len(line.lstrip())]
        wrapper = TextWrapper(
            width,
            initial_indent=begin,
            subsequent_indent=f"{begin}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines.append(wrapper.fill(line.strip()))
    return "\n".join(lines)
