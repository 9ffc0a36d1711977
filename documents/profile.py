"""What one run of `profile` has measured."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .base import Document, Failure, Fingerprint, Model, Strict


class Staircase(Strict):
    """What `--rank-quantum auto` found: ranks of this axis that are multiples of `quantum` are
    good (1: there is no staircase). `measured` counts the ranks or pairs that were timed."""

    layer: str
    spec_key: str
    kind: str
    axis: int
    quantum: int
    alignment: int
    measured: int
    text: str


class Profile(Document):
    """`failed` counts candidates that failed in this run; `failures` are all that stand. Of a
    `part` of a network, such as 3/32, specs and candidates are the part's."""

    kind: Literal["rankwise.profile"] = "rankwise.profile"
    model: Model
    device: Fingerprint
    policy: dict[str, Any]
    specs: int
    candidates: int
    measured: int
    already_measured: int
    stale: int = 0
    samples: int
    verdicts: dict[str, int]
    failures: list[Failure]
    failed: int = 0
    staircases: list[Staircase] = Field(default=[])
    elapsed_s: float
    complete: bool
    part: str | None = None

    @property
    def headline(self) -> str:
        left = "" if self.complete else ", not complete"
        return (
            f"{self.model.source} on {self.device.backend}: {self.specs} distinct layers, "
            f"{self.candidates} candidates, {self.measured} measured{left}"
        )
