"""How long training goes on, and at which rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import UsageError

WARM_UP = 0.08
"""Share of the budget over which the rate rises."""
MIN_RATE = 0.01
"""Share of the rate that is left in the end."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Steps, seconds, or both: whichever ends first."""

    steps: int | None = None
    seconds: float | None = None

    def check(self) -> None:
        if self.steps is None and self.seconds is None:
            raise UsageError("say how long training may take: --budget 5m, or --steps N")
        if (self.steps is not None and self.steps < 1) or (
            self.seconds is not None and not 0 < self.seconds < math.inf
        ):
            raise UsageError("--budget and --steps must be more than nothing")

    def progress(self, steps: int, seconds: float) -> float:
        """The share that is used up, in [0, 1]."""
        by_steps = steps / self.steps if self.steps else 0.0
        by_seconds = seconds / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_steps, by_seconds))


def cosine(progress: float) -> float:
    """The rate as a share of the highest: a short rise, then half a cosine (Loshchilov and
    Hutter 2017)."""
    rise = min(1.0, (progress + WARM_UP / 10) / WARM_UP)
    return rise * (MIN_RATE + (1 - MIN_RATE) * (1 + math.cos(math.pi * progress)) / 2)
