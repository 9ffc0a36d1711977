"""The tree of errors. Each message is one sentence that says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def first_line(error: BaseException) -> str:
    """Return the first line of any library's error, short enough to be part of a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word that is nearest; nothing if none is near."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


class RankwiseError(Exception):
    """Root of all errors that rankwise raises on purpose. `exit_status` is the command's."""

    exit_status = 1


class UsageError(RankwiseError):
    """Wrong use or bad input: nothing was changed. Exit status 2."""

    exit_status = 2


class ModelError(UsageError):
    """A network cannot be read, or is not what it was said to be."""


class LayerError(UsageError):
    """A layer cannot be decomposed as asked; the message is the reason in one phrase."""


class PlanError(UsageError):
    """A plan is malformed, or does not belong to this network."""


class StoreError(UsageError):
    """The database cannot be opened, read or written."""


class StoreUnreachable(StoreError):
    """The database's server does not answer at the moment: the same may work later."""


class BackendError(UsageError):
    """A backend is unknown, absent on this machine, or cannot do what was asked."""


class CalibrationError(UsageError):
    """Calibration pictures are missing, unreadable, or not the ones a plan was made from."""


class MeasurementError(RankwiseError):
    """A workload could not be measured. `stage` is a `FailureStage` value."""

    def __init__(self, message: str, stage: str = "run") -> None:
        super().__init__(message)
        self.stage = stage


class GoalNotReached(RankwiseError):
    """Done, but the goal was not reached (no plan satisfies the limit, ...). Exit status 3.
    `document` is what was made all the same, if anything: the best plan, a verification."""

    exit_status = 3

    def __init__(self, message: str, document: Any = None) -> None:
        super().__init__(message)
        self.document = document
