"""The additive problems of a plan: the one that was asked for, and relatives of it.

Their errors are modelled by factors (see `sensitivity`) that are measured first at one middle
rank of each layer and kind, and then at what a solution has chosen, until solutions stay where
factors were measured. On ResNet-50-thin that saved 6 and 17% more within the same error. What
room the best plan leaves is filled layer by layer; that saved 3% more, and 7% on demosaicking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from ..errors import GoalNotReached
from ..lowrank import lower
from ..search.exact import solve
from ..search.network_model import SCALE
from ..search.space import Assignment, LayerChoices, on_quantum
from .problem import PlanProblem, choices
from .repair import REPAIR_STEPS, START_ERROR, best_within, better_known, fill_slack
from .whole_runs import as_measured

PROBE_ROUNDS = 3
"""Times that factors are measured at what a solution has chosen."""
FINALIST_QUANTA = (8, 16, 32)
"""Rank quanta whose best plans are timed as whole networks, too."""

Layers = list[LayerChoices]
Variant = Callable[[LayerChoices], LayerChoices]
"""Makes a layer of a related problem of the plan's own."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A problem's layers, its best plan whose measured loss keeps the constraints, and the budget
    of modelled squared error that this plan is the best for."""

    layers: Layers
    assignment: Assignment
    budget: float

    def on(self, layers: Layers) -> Solution:
        """The same decisions with what is known of the layers by now."""
        if layers == self.layers:
            return self
        moved = as_measured(layers, self.assignment)
        return Solution(layers, moved, moved.error_sq)


def solve_as_asked(problem: PlanProblem) -> Solution:
    """The best additive plan. Raises `GoalNotReached` where none keeps all constraints."""
    best = _probed(problem)
    constraints = problem.constraints
    if problem.sensitivity.estimating or not constraints.judged:
        return best
    more = fill_slack(best.layers, constraints.limits(), constraints.usage, best.assignment)
    return best if more is best.assignment else Solution(best.layers, more, more.error_sq)


def _probed(problem: PlanProblem, variant: Variant = lambda layer: layer) -> Solution:
    solutions = [_once(problem, variant)]
    for number in range(PROBE_ROUNDS):
        problem.reporter.progress(number, PROBE_ROUNDS, "sensitivity at what was chosen")
        latest, sensitivity = solutions[-1].assignment.decisions, problem.sensitivity
        if not sensitivity.probe_at(latest, known_only=sensitivity.estimating):
            break
        solutions.append(_once(problem, variant))
    if not problem.constraints.judged:
        return solutions[-1]
    # Each keeps the constraints, so the one that saves most is the best of them.
    return max(solutions, key=lambda one: one.assignment.saving_s).on(solutions[-1].layers)


def _once(problem: PlanProblem, variant: Variant) -> Solution:
    layers = list(map(variant, choices(problem)))
    return Solution(layers, *solve_exactly(problem, layers))


def solve_exactly(problem: PlanProblem, layers: Sequence[LayerChoices]) -> tuple[Assignment, float]:
    """The best additive plan whose *measured* loss keeps the constraints, and the budget of
    modelled squared error that led to it."""
    constraints = problem.constraints
    if not constraints.judged:
        return _least_error(problem, layers)

    def on_step(step: int, usage: float) -> None:
        said = f"repair: {usage:.0%} of what may be lost"
        problem.reporter.progress(step, REPAIR_STEPS, said)

    limits, start = constraints.limits(), problem.objective.max_error or START_ERROR
    best = best_within(layers, limits, constraints.usage, start, on_step)
    if not problem.sensitivity.estimating:
        return best
    known = [decisions for decisions, _ in problem.sensitivity.before]
    return better_known(layers, limits, constraints.usage, known, best)


def _least_error(problem: PlanProblem, layers: Sequence[LayerChoices]) -> tuple[Assignment, float]:
    """The plan of least modelled error that is predicted to reach the speedup asked for.

    The prediction is that a network saves `SCALE` of what its layers save alone.
    """
    assert problem.least_error_at is not None
    saving_s = problem.original_latency_s() * (1 - 1 / problem.least_error_at) / SCALE
    try:
        plan = solve(layers, problem.constraints.limits(min_saving_s=saving_s))
    except GoalNotReached:
        plan = solve(layers, problem.constraints.limits())
    return plan, plan.error_sq


def alternatives(problem: PlanProblem) -> list[Assignment]:
    """Exact solutions of other problems, which may be faster in the network where times of
    single layers mislead: ranks on one quantum, whose layouts fit each other, and MACs saved
    in place of seconds."""
    variants: list[Variant] = [partial(on_quantum, quantum=one) for one in FINALIST_QUANTA]
    variants.append(partial(_saving_macs, problem))
    plans = []
    for variant in variants:
        layers = choices(problem)
        if list(map(variant, layers)) != layers:
            with suppress(GoalNotReached):  # so few choices may break other limits
                plans.append(as_measured(layers, _probed(problem, variant).assignment))
    return plans


def _saving_macs(problem: PlanProblem, layer: LayerChoices) -> LayerChoices:
    """The layer with savings in giga-MACs."""
    spec = problem.assembly.specs[layer.name]
    if spec is None:
        return layer
    return layer.with_savings(
        (spec.macs - lower(spec, choice.decomposition).macs) / 1e9 for choice in layer.choices[1:]
    )
