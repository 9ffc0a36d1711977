"""The exact choice for every layer, where savings and squared errors add up over layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import isfinite

import numpy as np

from ..errors import GoalNotReached, UsageError
from . import knapsack
from .space import Assignment, Choice, LayerChoices, prune


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A quantity that adds up over layers, in words (`parameters`), and the most of it that a
    whole plan may have. `amount` says what one choice has, given its layer's name."""

    name: str
    limit: float
    amount: Callable[[str, Choice], float]

    def excess(self, assignment: Assignment) -> float:
        """How far the limit is exceeded, relative to it: zero or less where it is kept."""
        pairs = zip(assignment.names, assignment.choices, strict=True)
        return _excess(sum(self.amount(name, choice) for name, choice in pairs), self.limit)


@dataclass(frozen=True, slots=True)
class SolverLimits:
    """What a plan has to keep to, over the whole network; None: no such limit.

    With `min_saving_s` the squared error is minimised, else the saving is maximised.
    """

    max_error_sq: float | None = None
    ceilings: tuple[Ceiling, ...] = ()
    min_saving_s: float | None = None

    def __post_init__(self) -> None:
        named = [("squared error", self.max_error_sq), *((c.name, c.limit) for c in self.ceilings)]
        for name, limit in named:
            if limit is not None and not limit >= 0:
                raise UsageError(f"The limit on {name} is {limit}: it has to be zero or more.")
        if self.min_saving_s is not None and not isfinite(self.min_saving_s):
            raise UsageError(f"min_saving_s is {self.min_saving_s}: it has to be finite.")

    @property
    def minimise_error(self) -> bool:
        return self.min_saving_s is not None

    def violations(self, assignment: Assignment) -> dict[str, float]:
        """How far each limit is exceeded, relative to it: zero or less where it is kept."""
        excesses: dict[str, float] = {}
        if self.max_error_sq is not None:
            excesses["error"] = _excess(assignment.error_sq, self.max_error_sq)
        excesses |= {ceiling.name: ceiling.excess(assignment) for ceiling in self.ceilings}
        if self.min_saving_s is not None:
            excesses["saving"] = _excess(-assignment.saving_s, -self.min_saving_s)
        return excesses

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


def solve(layers: Sequence[LayerChoices], limits: SolverLimits) -> Assignment:
    """The largest sum of savings with the sum of `error_sq` at most `max_error_sq`; with
    `min_saving_s` instead the smallest error that saves at least so many seconds.

    Within a relative gap of 1e-4 of the optimum, and no swap of a single layer's choice makes
    it better. Raises `GoalNotReached` where no assignment keeps to the limits.
    """
    items = [(layer.name, pool(layer, limits)) for layer in layers]
    empty = Assignment((), (), bound=0.0, gap=0.0)
    if not items and limits.allow(empty):
        return empty
    problem = _knapsack(items, limits)
    solution = knapsack.solve(problem) if items else None
    if solution is None:
        raise GoalNotReached(_why_not(items, limits))
    choices = list(chain.from_iterable(choices for _, choices in items))
    gap = solution.gap(problem.value(solution.picks))
    bound = -solution.bound if limits.minimise_error else solution.bound
    names = tuple(name for name, _ in items)
    return Assignment(names, tuple(choices[i] for i in solution.picks), bound, gap)


def pool(layer: LayerChoices, limits: SolverLimits) -> tuple[Choice, ...]:
    """The layer's choices that can be part of an optimum; never empty."""
    most = float("inf") if limits.max_error_sq is None else limits.max_error_sq
    original, *others = layer.choices
    within = [c for c in others if isfinite(c.error_sq) and _excess(c.error_sq, most) <= 0]
    return prune((original, *within), [partial(c.amount, layer.name) for c in limits.ceilings])


Items = Sequence[tuple[str, Sequence[Choice]]]
"""The choices of each layer, by its name."""


def _knapsack(items: Items, limits: SolverLimits) -> knapsack.Knapsack:
    choices = list(chain.from_iterable(choices for _, choices in items))
    savings = np.array([choice.saving_s for choice in choices])
    errors = np.array([choice.error_sq for choice in choices])
    rows = [(errors, float("inf") if limits.max_error_sq is None else limits.max_error_sq)]
    if limits.min_saving_s is not None:
        # The relaxed row comes first: it is the one that the other half of the trade is in.
        rows.insert(0, (-savings, -limits.min_saving_s))
    for ceiling in limits.ceilings:
        amounts = [ceiling.amount(name, choice) for name, of in items for choice in of]
        rows.append((np.array(amounts, dtype=np.float64), float(ceiling.limit)))
    return knapsack.Knapsack(
        values=-errors if limits.minimise_error else savings,
        weights=np.array([weights for weights, _ in rows]),
        limits=np.array([limit for _, limit in rows]),
        owner=np.repeat(np.arange(len(items)), [len(of) for _, of in items]),
    )


def _why_not(items: Items, limits: SolverLimits) -> str:
    """One sentence: the limit that cannot be met alone, else that they exclude each other."""
    for ceiling in limits.ceilings:
        least = sum(min(ceiling.amount(name, choice) for choice in of) for name, of in items)
        if least > ceiling.limit:
            return (
                f"No plan has at most {ceiling.limit} {ceiling.name}: the smallest one allowed "
                f"has {least}; raise the limit, or profile smaller ranks."
            )
    most = sum(max(choice.saving_s for choice in of) for _, of in items)
    if limits.min_saving_s is not None and most < limits.min_saving_s:
        return (
            f"No plan saves {limits.min_saving_s:.3g} s: the fastest one allowed saves "
            f"{most:.3g} s; lower the target, or profile more candidates."
        )
    return "No plan keeps to all limits at once: relax one of them."
