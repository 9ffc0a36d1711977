"""What is shown of each class of document; a new one needs its line here and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import documents
from . import fleet_text, inspection_text, plan_text, table_text, tuning_text
from .shown import Sentence, Shown

PARTS: dict[type[documents.Document], Callable[[Any], Iterator[Shown]]] = {
    documents.Devices: inspection_text.devices,
    documents.Fleet: fleet_text.fleet,
    documents.FleetProfile: fleet_text.profiles,
    documents.Doctor: inspection_text.doctor,
    documents.Layers: inspection_text.layers,
    documents.Profile: inspection_text.profile,
    documents.Table: table_text.table,
    documents.Plan: plan_text.plan,
    documents.VerificationDocument: plan_text.verification,
    documents.Explanation: plan_text.explanation,
    documents.WhatIf: plan_text.what_if,
    documents.Pareto: plan_text.pareto,
    documents.Recovery: plan_text.recovery,
    documents.Tuning: tuning_text.tuning,
}


def parts(document: documents.Document) -> Iterator[Shown]:
    """Yield what is shown of a document, and what there is to note of its network."""
    yield from PARTS[type(document)](document)
    model = getattr(document, "model", None)
    for note in model.notes if isinstance(model, documents.Model) else ():
        yield Sentence(f"note: {note}")
