"""What the process of a job is told: which job, which attempt at it, on which device."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

SUPERSEDED = 3
"""Status of a job's process that ended because another attempt at its job has begun."""
AGAIN = 75
"""Status of one that could not reach the store: the job is as it was. As in sysexits.h."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one job. `artifacts` is the folder of networks and pictures; `backend` opens
    the device that the job was given, empty where the request names it."""

    job: str
    attempt: int
    artifacts: Path
    backend: str = ""

    @classmethod
    def from_text(cls, text: str) -> Assignment:
        """Read what `text` wrote."""
        values = json.loads(text)
        return cls(**{**values, "artifacts": Path(values["artifacts"])})

    @property
    def text(self) -> str:
        return json.dumps({**asdict(self), "artifacts": str(self.artifacts)})
