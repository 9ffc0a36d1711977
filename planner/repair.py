"""The additive problem's solution, held against what the network really loses.

The model of the network error (a sum over layers) only guides the choice. A plan that loses
more than was modelled is solved for again with a smaller budget, one that leaves room with a
larger one; what room is left in the end is filled layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..errors import GoalNotReached
from ..records import ORIGINAL, Decomposition
from ..search.exact import SolverLimits, solve
from ..search.space import Assignment, LayerChoices

Usage = Callable[[Assignment], float]
"""The share of what may be lost that a plan uses, measured: see `constraint.Constraints`."""

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
    usage_of: Usage,
    start_error: float,
    on_step: Callable[[int, float], None],
) -> tuple[Assignment, float]:
    """The most saving of which at most all of what may be lost is used, and the budget of
    modelled squared error that led to it. `limits` are the other ones, without an error.

    Raises `GoalNotReached` where no plan was found that keeps to all limits.
    """
    best = _solved(layers, 0.0, limits)
    if best and usage_of(best[0]) > 1:
        best = None
    allowed, broken = 0.0, float("inf")
    budget = start_error**2
    for step in range(REPAIR_STEPS):
        solution = _solved(layers, budget, limits)
        usage = usage_of(solution[0]) if solution else 0.0
        on_step(step, usage)
        if usage > 1:
            broken = budget
        else:
            allowed = budget
            if solution and (best is None or solution[0].saving_s >= best[0].saving_s):
                best = solution
        if solution and (usage <= 0 or CLOSE_ENOUGH <= usage <= 1):
            break
        budget = next_budget(budget, usage, allowed, broken)
    if best is None:
        raise GoalNotReached("no plan keeps to all limits at once: relax one of them")
    return best


def fill_slack(
    layers: Sequence[LayerChoices], limits: SolverLimits, usage_of: Usage, plan: Assignment
) -> Assignment:
    """`plan` with choices that save more, one layer after the other, as long as the measured
    loss keeps the limits: solutions of the model jump over room that single layers fit into."""
    usage, tried = usage_of(plan), {plan.key}
    for _ in range(FILL_TRIES):
        swaps = (s for s in _swaps(layers, plan) if s.key not in tried and limits.allow(s))
        hopeful = [s for s in swaps if _expected(s, plan, usage) <= FILL_TOLERANCE]
        if not hopeful:
            break
        other = max(hopeful, key=lambda s: s.saving_s)
        tried.add(other.key)
        loss = usage_of(other)
        if loss <= 1:
            plan, usage = other, loss
    return plan


def _swaps(layers: Sequence[LayerChoices], plan: Assignment) -> Iterator[Assignment]:
    """All plans that differ in one layer and save more."""
    for place, (layer, chosen) in enumerate(zip(layers, plan.choices, strict=True)):
        for choice in layer.choices:
            if choice.saving_s > chosen.saving_s:
                changed = (*plan.choices[:place], choice, *plan.choices[place + 1 :])
                yield Assignment(plan.names, changed)


def _expected(other: Assignment, plan: Assignment, usage: float) -> float:
    """The share of the limits that `other` uses up, if it is modelled as well as `plan` is."""
    return usage * other.error_sq / plan.error_sq if plan.error_sq else 0.0


def better_known(
    layers: Sequence[LayerChoices],
    limits: SolverLimits,
    usage_of: Usage,
    known: Iterable[Mapping[str, Decomposition]],
    best: tuple[Assignment, float],
) -> tuple[Assignment, float]:
    """`best`, or one of the `known` plans, whose errors were measured before this run, if it keeps
    all limits and saves more: an estimate has to be careful where a measurement need not be."""
    plans = (_assignment(layers, decisions) for decisions in known)
    kept = [plan for plan in plans if plan and limits.allow(plan) and usage_of(plan) <= 1]
    other = max(kept, key=lambda plan: plan.saving_s, default=best[0])
    return (other, other.error_sq) if other.saving_s > best[0].saving_s else best


def _assignment(
    layers: Sequence[LayerChoices], decisions: Mapping[str, Decomposition]
) -> Assignment | None:
    """The plan of these decisions; None where they are not among the choices."""
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
    """The best plan within a budget; None where other limits exclude so small an error."""
    try:
        return solve(layers, replace(limits, max_error_sq=budget)), budget
    except GoalNotReached:
        return None
