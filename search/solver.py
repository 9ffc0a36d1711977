"""What solves for a plan: for one device sums are maximised, for several the least of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from . import exact
from .exact import SolverLimits
from .space import Assignment, LayerChoices


class Solver(Protocol):
    """Finds the assignment that saves most within limits, or the one of least error that saves
    enough; raises `GoalNotReached` where there is none."""

    def solve(self, layers: Sequence[LayerChoices], limits: SolverLimits) -> Assignment: ...

    def saving_s(self, assignment: Assignment) -> float:
        """What is maximised, in seconds."""
        ...


@dataclass(frozen=True, slots=True)
class OneDevice:
    """The `Solver` whose savings add up."""

    def solve(self, layers: Sequence[LayerChoices], limits: SolverLimits) -> Assignment:
        return exact.solve(layers, limits)

    def saving_s(self, assignment: Assignment) -> float:
        return assignment.saving_s


ONE_DEVICE = OneDevice()
