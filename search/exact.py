"""The exact choice for every layer, where savings and squared errors add up over layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite

import numpy as np

from ..errors import GoalNotReached, UsageError
from . import knapsack
from .space import Assignment, Choice, LayerChoices, prune


@dataclass(frozen=True, slots=True)
class SolverLimits:
    """What a plan has to keep to, over the whole network; None: no such limit.

    With `min_saving_s` the squared error is minimised, else the saving is maximised.
    """

    max_error_sq: float | None = None
    max_params: int | None = None
    min_saving_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_error_sq", "max_params"):
            limit = getattr(self, name)
            if limit is not None and not limit >= 0:
                raise UsageError(f"{name} is {limit}: it has to be zero or more.")
        if self.min_saving_s is not None and not isfinite(self.min_saving_s):
            raise UsageError(f"min_saving_s is {self.min_saving_s}: it has to be finite.")

    @property
    def minimise_error(self) -> bool:
        return self.min_saving_s is not None

    def violations(self, assignment: Assignment) -> dict[str, float]:
        """By how much each limit is broken, relative to it: zero or less where it is kept."""
        found = {}
        if self.max_error_sq is not None:
            found["error"] = _excess(assignment.error_sq, self.max_error_sq)
        if self.max_params is not None:
            found["params"] = _excess(assignment.params, self.max_params)
        if self.min_saving_s is not None:
            found["saving"] = _excess(-assignment.saving_s, -self.min_saving_s)
        return found

    def allow(self, assignment: Assignment) -> bool:
        return all(excess <= 0 for excess in self.violations(assignment).values())

    def value(self, assignment: Assignment) -> float:
        """What is maximised: the saving in seconds, or the negative squared error."""
        return -assignment.error_sq if self.minimise_error else assignment.saving_s


def most_error_sq(layers: Sequence[LayerChoices]) -> float:
    """The largest finite sum of squared errors."""
    return sum(max(c.error_sq for c in one.choices if isfinite(c.error_sq)) for one in layers)


def _excess(amount: float, limit: float) -> float:
    if limit == float("inf"):
        return -1.0
    relative = (amount - limit) / (abs(limit) or 1.0)
    return 0.0 if 0 < relative <= knapsack.SLACK else relative


def solve(
    layers: Sequence[LayerChoices],
    *,
    max_error_sq: float | None,
    max_params: int | None = None,
    min_saving_s: float | None = None,
) -> Assignment:
    """The largest sum of savings with the sum of `error_sq` at most `max_error_sq`; with
    `min_saving_s` instead the smallest error that saves at least so many seconds.

    Within a relative gap of 1e-4 of the optimum, and no swap of a single layer's choice makes
    it better. Raises `GoalNotReached` where no assignment keeps to the limits.
    """
    return solve_within(layers, SolverLimits(max_error_sq, max_params, min_saving_s))


def solve_within(layers: Sequence[LayerChoices], limits: SolverLimits) -> Assignment:
    """`solve`, with its limits as one value."""
    pools = [pool(layer, limits) for layer in layers]
    if not pools:
        return _checked(Assignment((), (), bound=0.0, gap=0.0), limits)
    problem = _problem(pools, limits)
    solution = knapsack.solve(problem)
    if solution is None:
        raise GoalNotReached(_why_not(pools, limits))
    items = list(chain.from_iterable(pools))
    gap = solution.gap(problem.value(solution.picks))
    bound = -solution.bound if limits.minimise_error else solution.bound
    names = tuple(layer.name for layer in layers)
    return Assignment(names, tuple(items[i] for i in solution.picks), bound, gap)


def _checked(assignment: Assignment, limits: SolverLimits) -> Assignment:
    if not limits.allow(assignment):
        raise GoalNotReached(_why_not([], limits))
    return assignment


def pool(layer: LayerChoices, limits: SolverLimits) -> tuple[Choice, ...]:
    """The layer's choices that can be part of an optimum; never empty."""
    most = float("inf") if limits.max_error_sq is None else limits.max_error_sq
    original, *others = layer.choices
    within = [c for c in others if isfinite(c.error_sq) and _excess(c.error_sq, most) <= 0]
    return prune((original, *within), by_params=limits.max_params is not None)


def _problem(pools: Sequence[Sequence[Choice]], limits: SolverLimits) -> knapsack.Knapsack:
    items = list(chain.from_iterable(pools))
    savings = np.array([choice.saving_s for choice in items])
    errors = np.array([choice.error_sq for choice in items])
    none = float("inf")
    most_error = none if limits.max_error_sq is None else limits.max_error_sq
    rows = [(errors, most_error)]
    if limits.min_saving_s is not None:
        # The relaxed row comes first: it is the one that the other half of the trade is in.
        rows = [(-savings, -limits.min_saving_s), (errors, most_error)]
    if limits.max_params is not None:
        params = np.array([choice.params for choice in items], dtype=np.float64)
        rows.append((params, float(limits.max_params)))
    return knapsack.Knapsack(
        values=-errors if limits.minimise_error else savings,
        weights=np.array([weights for weights, _ in rows]),
        limits=np.array([limit for _, limit in rows]),
        owner=np.repeat(np.arange(len(pools)), [len(pool) for pool in pools]),
    )


def _why_not(pools: Sequence[Sequence[Choice]], limits: SolverLimits) -> str:
    """One sentence: the limit that cannot be met alone, else that they exclude each other."""
    fewest = sum(min(choice.params for choice in pool) for pool in pools)
    most = sum(max(choice.saving_s for choice in pool) for pool in pools)
    if limits.max_params is not None and fewest > limits.max_params:
        return (
            f"No plan has at most {limits.max_params} parameters: the smallest one allowed has "
            f"{fewest}; raise the limit, or profile smaller ranks."
        )
    if limits.min_saving_s is not None and most < limits.min_saving_s:
        return (
            f"No plan saves {limits.min_saving_s:.3g} s: the fastest one allowed saves "
            f"{most:.3g} s; lower the target, or profile more candidates."
        )
    return "No plan keeps to all limits at once: relax one of them."
