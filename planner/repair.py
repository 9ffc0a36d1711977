"""The additive problem's solution, held against what the network really loses.

The model of the network error (a sum over layers) only guides the choice. A plan that loses
more than was modelled is solved for again with a smaller budget, one that leaves room with a
larger one; what room is left in the end is fill_slack layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import GoalNotReached
from ..records import ORIGINAL, Decomposition
from ..search.exact import SolverLimits, solve_within
from ..search.space import Assignment

if TYPE_CHECKING:
    from ..search.space import LayerChoices
    from .quality import Quality

REPAIR_STEPS = 8
CLOSE_ENOUGH = 0.9
"""A plan that uses this share of what may be lost is not worth another repair step."""
FILL_TRIES = 16
"""Single changes of a plan that are measured to fill the room that it leaves."""
FILL_TOLERANCE = 1.1
"""A change is tried if it is expected to use up no more than this: expectations are off, too."""
START_ERROR = 0.1
"""Network error to begin with where only a score is limited."""


def next_budget(budget: float, usage: float, allowed: float, broken: float) -> float:
    """The next squared error budget to try: scaled by how far the measured loss was off, or
    the geometric middle once one budget was allowed and one broke the limit, because the
    measured loss does not follow the modelled one in proportion."""
    if allowed > 0 and broken < float("inf"):
        return float((allowed * broken) ** 0.5)
    return budget * min(4.0, max(0.25, CLOSE_ENOUGH / usage if usage else 4.0))


def best_within(
    layers: Sequence[LayerChoices],
    limits: SolverLimits,
    quality: Quality,
    on_step: Callable[[int, float], None],
) -> tuple[Assignment, float]:
    """The most saving whose *measured* loss keeps to the limits of `quality`, and the budget of
    modelled squared error that led to it. `limits` are the other ones, without an error.

    Raises `GoalNotReached` where no plan was found that keeps to all limits.
    """
    best: tuple[Assignment, float] | None = _solved(layers, 0.0, limits)
    allowed, broken = 0.0, float("inf")
    budget = (quality.max_error or START_ERROR) ** 2
    for step in range(REPAIR_STEPS):
        found = _solved(layers, budget, limits)
        usage = quality.usage(found[0].decisions) if found else 0.0
        on_step(step, usage)
        if usage > 1:
            broken = budget
        else:
            allowed = budget
            if found and (best is None or found[0].saving_s >= best[0].saving_s):
                best = found
        if found and (usage <= 0 or CLOSE_ENOUGH <= usage <= 1):
            break
        budget = next_budget(budget, usage, allowed, broken)
    if best is None:
        raise GoalNotReached("no plan keeps to all limits at once: relax one of them")
    return best


def fill_slack(
    layers: Sequence[LayerChoices], limits: SolverLimits, quality: Quality, found: Assignment
) -> Assignment:
    """`found` with choices that save more, one layer after the other, as long as the measured
    loss keeps the limits: solutions of the model jump over room that single layers fit into."""
    usage, tried = quality.usage(found.decisions), {found.key}
    for _ in range(FILL_TRIES):
        swaps = (s for s in _swaps(layers, found) if s.key not in tried and limits.allow(s))
        hopeful = [s for s in swaps if _expected(s, found, usage) <= FILL_TOLERANCE]
        if not hopeful:
            break
        other = max(hopeful, key=lambda s: s.saving_s)
        tried.add(other.key)
        loss = quality.usage(other.decisions)
        if loss <= 1:
            found, usage = other, loss
    return found


def _swaps(layers: Sequence[LayerChoices], found: Assignment) -> Iterator[Assignment]:
    """All plans that differ in one layer and save more."""
    for place, (layer, chosen) in enumerate(zip(layers, found.choices, strict=True)):
        for choice in layer.choices:
            if choice.saving_s > chosen.saving_s:
                changed = (*found.choices[:place], choice, *found.choices[place + 1 :])
                yield Assignment(found.names, changed)


def _expected(other: Assignment, found: Assignment, usage: float) -> float:
    """The share of the limits that `other` uses up, if it is modelled as well as `found` is."""
    return usage * other.error_sq / found.error_sq if found.error_sq else 0.0


def better_known(
    layers: Sequence[LayerChoices],
    limits: SolverLimits,
    quality: Quality,
    found: tuple[Assignment, float],
) -> tuple[Assignment, float]:
    """`found`, or a plan that was measured before this run, keeps to all limits and saves more:
    an estimate has to be careful where a measurement need not be."""
    plans = (_assignment(layers, decisions) for decisions in quality.measured_before())
    kept = [
        plan for plan in plans if plan and limits.allow(plan) and quality.usage(plan.decisions) <= 1
    ]
    best = max(kept, key=lambda plan: plan.saving_s, default=found[0])
    return (best, best.error_sq) if best.saving_s > found[0].saving_s else found


def _assignment(
    layers: Sequence[LayerChoices], decisions: Mapping[str, Decomposition]
) -> Assignment | None:
    """None where these decisions are not among the choices."""
    picked = [
        next((c for c in one.choices if c.decomposition == decisions.get(one.name, ORIGINAL)), None)
        for one in layers
    ]
    choices = tuple(choice for choice in picked if choice is not None)
    names = tuple(one.name for one in layers)
    return Assignment(names, choices) if len(choices) == len(layers) else None


def _solved(
    layers: Sequence[LayerChoices], budget: float, limits: SolverLimits
) -> tuple[Assignment, float] | None:
    """None where the other limits cannot be kept with so small an error."""
    try:
        return solve_within(layers, replace(limits, max_error_sq=budget)), budget
    except GoalNotReached:
        return None
