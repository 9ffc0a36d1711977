"""The steps of `tune`: each is a verb, said as its own command, timed and noted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .. import documents
from ..reporter import Listeners


@dataclass(frozen=True, slots=True)
class StepReporter:
    """Tells those who listen what a verb tells, with the verb that says it."""

    reporter: Listeners
    verb: str

    def message(self, text: str) -> None:
        self.reporter.message(f"      {text}")

    def progress(self, done: float, total: float, text: str) -> None:
        self.reporter.progress(done, total, f"{self.verb}: {text}")

    def began(self, verb: str, options: Mapping[str, Any]) -> None:
        self.reporter.began(verb, options)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.reporter.metrics(values, step)

    def ended(self, verb: str, result: Any) -> None:
        self.reporter.ended(verb, result)


@dataclass(slots=True)
class Step:
    """A step that is being done: who listens to its verb, and what came of it."""

    reporter: StepReporter
    result: str = ""
    known: bool = False


@dataclass(slots=True)
class Steps:
    """Steps in their order, of so many; `done` are those that came to their end."""

    reporter: Listeners
    count: int
    done: list[documents.TuningStep] = field(default_factory=list)

    @contextmanager
    def step(self, verb: str, command: str) -> Iterator[Step]:
        """One step: the command is said when it begins, its result when it has ended."""
        number, began = f"{len(self.done) + 1}/{self.count}", time.monotonic()
        self.reporter.message(f"[{number}] {command}")
        step = Step(StepReporter(self.reporter, verb))
        yield step
        elapsed_s = time.monotonic() - began
        self.done.append(
            documents.TuningStep(
                verb=verb,
                command=command,
                result=step.result,
                known=step.known,
                elapsed_s=elapsed_s,
            )
        )
        self.reporter.message(f"      {step.result} ({elapsed_s:.0f} s)")
