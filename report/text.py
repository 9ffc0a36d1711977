"""Documents as text for a terminal: one renderer for each class of document."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from .. import documents
from . import inspection_text, plan_text, tuning_text


def show(document: documents.Document) -> None:
    """Print a document for a person to read on standard output."""
    piped_width = max(160, shutil.get_terminal_size().columns)  # 80 columns would squeeze it
    width = None if sys.stdout.isatty() else piped_width
    console = Console(highlight=False, emoji=False, width=width)
    _RENDERERS[type(document)](document, console)
    model = getattr(document, "model", None)
    for note in model.notes if isinstance(model, documents.Model) else ():
        console.print(f"note: {note}", markup=False)


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
