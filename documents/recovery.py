"""What training did to a decomposed network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ..files import write_text
from .base import CalibrationNote, Document, Errors, Model, Strict


class ErrorChange(Strict):
    """Relative error of the network's outputs against the original's."""

    before: float
    after: float


class ReportChange(ErrorChange):
    """The change on the report split, which is read once. `ratio` is after / before, its 95%
    interval a bootstrap over pictures. `errors` are by part and by picture."""

    pictures: int
    examples: int
    ratio: float
    ratio_low: float
    ratio_high: float
    fidelity_before: dict[str, Any]
    fidelity_after: dict[str, Any]
    errors_before: Errors | None = None
    errors_after: Errors | None = None


class TrainingPoint(Strict):
    """`score` is the error on the select split, or what the user's own function reported."""

    step: int
    elapsed_s: float
    loss: float | None
    score: float | None


class Recovery(Document):
    """What training did to a decomposed network. `method`: `distillation`, or the user's own
    function. `stopped`: `budget`, `early`, `not_finite`, or `function` (it returned)."""

    kind: Literal["rankwise.recovery"] = "rankwise.recovery"
    rankwise_version: str
    at: str
    model: Model
    plan_created_at: str
    method: str
    data: CalibrationNote | None
    options: dict[str, Any]
    steps: int
    elapsed_s: float
    stopped: str
    select: ErrorChange | None
    report: ReportChange | None
    history: list[TrainingPoint]
    output: str

    @property
    def headline(self) -> str:
        error = self.report or self.select
        change = f", network error {error.before:.4f} -> {error.after:.4f}" if error else ""
        return f"{self.model.source}: {self.steps} steps of {self.method}{change}"


def write_recovery(document: Recovery, output: Path) -> None:
    """Write the document beside the trained network's file, `OUT.recovery.json`."""
    path = output.with_name(f"{output.stem}.recovery.json")
    write_text(path, document.model_dump_json(indent=2) + "\n")
