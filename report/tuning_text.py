"""What `tune` has gained, as text: speedup and error, where the files are, what to type next."""

from __future__ import annotations

from collections.abc import Iterator

from .. import documents
from ..documents.base import speedup_text
from .cells import duration
from .shown import Sentence, Shown


def tuning(document: documents.Tuning) -> Iterator[Shown]:
    """Show what was gained, the files, and the commands that may come next."""
    for name, text in [*_gains(document), *_files(document)]:
        yield Sentence(f"{name:<10}{text}", whole=True)
    if document.next_commands:
        yield Sentence("\nnext:")
    for one in document.next_commands:
        yield Sentence(f"  {one.command}", "bold", whole=True)
        yield Sentence(f"      {one.purpose}")


def _gains(document: documents.Tuning) -> list[tuple[str, str]]:
    found, plan = document.verification, document.plan
    device = f"{document.backend} {document.device.hardware.get('chip', '')}".strip()
    lines = [("network", f"{document.model.source} on {device}")]
    if found is None:
        return [*lines, ("speedup", "none: no layer is worth replacing")]
    times = f"{duration(found.original_latency_s)} -> {duration(found.latency_s)}"
    lines.append(("speedup", f"{speedup_text(found)}, {times}"))
    lines.append(("error", _error(found, plan)))
    lines.append(("layers", f"{len(plan.decisions)} of {len(plan.layers)} replaced"))
    return lines


def _error(found: documents.Verification, plan: documents.Plan) -> str:
    """Say the network error that was measured, with its limit, and what it is of."""
    limit = plan.objective.get("max_error")
    allowed = "" if limit is None else f" of {limit:g} allowed"
    error = found.fidelity.get("relative_error")
    if error is not None:
        return f"{error:.4f}{allowed}, on pictures that nothing else has read"
    if plan.predicted.network_error is not None:
        return f"{plan.predicted.network_error:.4f}{allowed}, on random inputs only"
    return "not known"


def _files(document: documents.Tuning) -> list[tuple[str, str]]:
    files = [("wrote", document.network_file), ("plan", document.plan_file)]
    return [(name, file) for name, file in files if file is not None]
