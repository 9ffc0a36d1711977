"""What the user asks of a plan, and how it is to be looked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import UsageError
from .candidate_policy import CandidatePolicy
from .constraint import AdditiveConstraint, Constraint


@dataclass(frozen=True, slots=True)
class Objective:
    """What the user asked for. `max_error` limits the network error on the select split,
    `floor` the score that `evaluate` (package.module:callable) gives the network; `constraints`
    are the user's own."""

    max_error: float | None = None
    target_speedup: float | None = None
    max_params: int | None = None
    max_weight_bytes: int | None = None
    evaluate: str | None = None
    floor: float | None = None
    constraints: tuple[Constraint, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether anything but the network error is limited that has to be judged plan by plan."""
        own = any(not isinstance(one, AdditiveConstraint) for one in self.constraints)
        return own or self.evaluate is not None

    def check(self) -> None:
        """Raises `UsageError` for a limit that makes no sense, or if nothing was asked for."""
        for name in ("max_error", "target_speedup", "max_params", "max_weight_bytes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must be more than 0, not {value}")
        if self.max_error is None and self.target_speedup is None and not self.judged:
            raise UsageError(
                "say what the plan must keep: --max-error E, --target-speedup S, or "
                "--evaluate package.module:callable with its --floor F"
            )

    def to_json(self) -> dict[str, Any]:
        """The user's own constraints as they print, and only if there are any."""
        numbers = asdict(replace(self, constraints=()))
        del numbers["constraints"]
        own = {"constraints": [repr(one) for one in self.constraints]} if self.constraints else {}
        return numbers | own


@dataclass(frozen=True, slots=True)
class PlanningOptions:
    """How a plan is looked for. `confidence` is the probability with which a limit on the network
    error is to hold on new pictures; `training_weight` is what a training step counts in a plan
    for both phases; `compare` says which outputs are compared (see `compared_outputs`)."""

    db: str
    trials: int
    sampler: str
    refine: bool
    seed: int
    candidate_policy: CandidatePolicy
    training_weight: float | None = None
    confidence: float = 0.9
    max_time_s: float | None = None
    compare: str | None = None
