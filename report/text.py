"""Documents as text for a terminal."""

from __future__ import annotations

import shutil
import sys
from io import StringIO

from rich.console import Console

from .. import documents
<<<<<<< HEAD
from . import inspection_text, plan_text, tuning_text
=======
from .parts import parts
from .shown import Sentence
from .table_text import row_lines
>>>>>>> pyapi


def show(document: documents.Document) -> None:
    """Print a document for a person to read on standard output."""
    piped_width = max(160, shutil.get_terminal_size().columns)  # 80 columns would squeeze it
    width = None if sys.stdout.isatty() else piped_width
    _print(document, Console(highlight=False, emoji=False, width=width))


<<<<<<< HEAD
_RENDERERS: dict[type[documents.Document], Callable[[Any, Console], None]] = {
    documents.Devices: inspection_text.devices,
    documents.Doctor: inspection_text.doctor,
    documents.Layers: inspection_text.layers,
    documents.Profile: inspection_text.profile,
    documents.Plan: plan_text.plan,
    documents.VerificationDocument: plan_text.verification,
    documents.Explanation: plan_text.explanation,
    documents.WhatIf: plan_text.what_if,
    documents.Pareto: plan_text.pareto,
    documents.Recovery: plan_text.recovery,
    documents.Tuning: tuning_text.tuning,
}
=======
def text(document: documents.Document) -> str:
    """Return what `show` prints, without colours."""
    written = StringIO()
    _print(document, Console(file=written, highlight=False, emoji=False, width=160))
    return written.getvalue().rstrip("\n")


def _print(document: documents.Document, console: Console) -> None:
    for part in parts(document):
        if isinstance(part, Sentence):
            console.print(part.text, style=part.style or None, markup=False)
            continue
        for line in row_lines(part, console.is_terminal):
            console.file.write(line + "\n")
>>>>>>> pyapi
