"""What `tune` has done: its steps, what was gained, and where the files are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Document, Fingerprint, Model, Strict, speedup_text
from .plan import Plan, Verification


class TuningStep(Strict):
    """One verb: `command` does it alone, `result` is what came of it in one sentence. `known`: it
    had been done before, and was not done again."""

    verb: str
    command: str
    result: str
    known: bool = False
    elapsed_s: float


class NextCommand(Strict):
    """What may be typed next, and what for."""

    command: str
    purpose: str


class Tuning(Document):
    """`verification` is null where the plan replaces no layer, and then there is no network either.
    Files are null where none was asked for. `shortfall` says what the goal was missed by; empty
    where it was reached."""

    kind: Literal["rankwise.tuning"] = "rankwise.tuning"
    model: Model
    device: Fingerprint
    backend: str
    steps: list[TuningStep]
    plan: Plan
    verification: Verification | None
    plan_file: str | None
    network_file: str | None
    reached: bool
    shortfall: str = ""
    elapsed_s: float
    next_commands: list[NextCommand] = Field(default_factory=list)

    @property
    def headline(self) -> str:
        found = self.verification or self.plan.predicted
        how = "measured" if self.verification else "predicted"
        where = f"{self.model.source} on {self.device.backend}"
        missed = "" if self.reached else ", goal missed"
        return f"{where}: {how} speedup {speedup_text(found)}{missed}"
