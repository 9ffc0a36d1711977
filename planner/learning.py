"""What plans timed as whole networks teach about their layers.

What a layer saves alone is not what it saves inside the network. The first plan and two halves
of it are timed against the original; `search.network_model` is fitted on these runs, and says
what each choice saves *inside* the network. The search is asked again with those savings, and what
it finds is timed, too, until it finds nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import GoalNotReached
from ..search.exact import SolverLimits, solve
from ..search.network_model import PlanParts
from ..search.space import Assignment, LayerChoices
from .problem import PlanProblem
from .solution import Solution, original, solve_within
from .whole_runs import Runs, as_measured, cannot_time, network_model, part_of, plan_of, timed

ROUNDS = 2
"""Times that the search is asked again with savings in the network."""
WORTH_TIMING = 1.005
"""A plan for a limit on the error is timed if it is predicted to be so many times faster than the
best one known: timing takes more of a search than anything else."""
OTHER_BUDGETS = (0.3, 2.0)
"""Of modelled squared error, for plans beside one that replaces a single layer."""
AIM = 1.01
"""A plan for a target speedup is solved for so much more than it: it has to reach it when it is
timed, too."""


@dataclass(frozen=True, slots=True)
class Learned:
    """The best plan so far, the layers' choices with what they save in the network (alone, if
    nothing was timed), and all runs."""

    solution: Solution
    layers: Sequence[LayerChoices]
    runs: Runs


def learn(problem: PlanProblem, layers: Sequence[LayerChoices], solution: Solution) -> Learned:
    """Time plans as whole networks and search again, as far as this device can time them."""
    nothing = not solution.assignment.decisions or not problem.options.refine
    if nothing or problem.progress.over:
        return Learned(solution, layers, {})
    if reason := cannot_time(problem):
        problem.reporter.message(f"not refined in the network: {reason}")
        return Learned(solution, layers, {})
    seed = solution.assignment
    runs = timed(problem, [seed, *_companions(layers, solution, problem.options.seed)])
    learned = Learned(solution, in_network(problem, layers, runs), runs)
    for _ in range(ROUNDS):
        better = None if problem.progress.over else _solved_again(problem, layers, learned)
        if better is None:
            break
        runs = learned.runs | timed(problem, [better.assignment])
        learned = Learned(better, in_network(problem, layers, runs), runs)
    return learned


def _solved_again(
    problem: PlanProblem, layers: Sequence[LayerChoices], learned: Learned
) -> Solution | None:
    """The best plan by what layers save in the network; None where it is the one that is known,
    or hardly faster, or there is none."""
    try:
        if problem.least_error_at is None:
            found = _faster(problem, layers, learned)
        else:
            found = _of_less_error(problem, learned, problem.least_error_at)
    except GoalNotReached:  # a limit on parameters may need choices that save nothing in it
        return None
    if found is None or not found.assignment.decisions:
        return None
    plan = as_measured(layers, found.assignment)
    if plan.key == learned.solution.assignment.key:
        return None
    return Solution(plan, found.budget, found.usage)


def _faster(
    problem: PlanProblem, layers: Sequence[LayerChoices], learned: Learned
) -> Solution | None:
    """The fastest plan within the limits, if it is worth to be timed."""
    model, budget = network_model(problem, learned.runs), learned.solution.full_budget

    def speedup(plan: Assignment) -> float:
        return model.forecast(plan_of(as_measured(layers, plan))).speedup

    least = WORTH_TIMING * speedup(learned.solution.assignment)
    if speedup(solve(learned.layers, problem.constraints.limits(budget))) < least:
        return None  # before anything is measured of it
    found = solve_within(problem, learned.layers, budget)
    return found if speedup(found.assignment) >= least else None


def _of_less_error(problem: PlanProblem, learned: Learned, target: float) -> Solution:
    """The plan of least modelled error that is predicted to reach the speedup."""
    model = network_model(problem, learned.runs)
    saving_s = model.original_s * (1 - 1 / (AIM * target))
    plan = solve(learned.layers, problem.constraints.limits(min_saving_s=saving_s))
    return Solution(plan, plan.error_sq)


def _companions(layers: Sequence[LayerChoices], solution: Solution, seed: int) -> list[Assignment]:
    """Two plans unlike the solution's, from which runs can tell what single layers save: halves
    of it, or, where it has one layer, plans for other errors. Nobody applies them."""
    if len(solution.assignment.decisions) > 1:
        return list(_halves(layers, solution.assignment, seed))
    return [solve(layers, SolverLimits(share * solution.budget)) for share in OTHER_BUDGETS]


def _halves(
    layers: Sequence[LayerChoices], plan: Assignment, seed: int
) -> tuple[Assignment, Assignment]:
    """The plan's replaced layers shared out to two plans by lot, so that runs can tell which
    layers the savings come from."""
    rng, nothing = np.random.default_rng(seed), original(layers)
    choices = enumerate(plan.choices)
    changed = [place for place, one in choices if not one.decomposition.is_original]
    first = set(rng.permutation(changed)[: len(changed) // 2].tolist())
    halves = [
        tuple(
            mine if (place in first) is wanted else plain
            for place, (mine, plain) in enumerate(zip(plan.choices, nothing.choices, strict=True))
        )
        for wanted in (True, False)
    ]
    return Assignment(plan.names, halves[0]), Assignment(plan.names, halves[1])


def in_network(
    problem: PlanProblem, layers: Sequence[LayerChoices], runs: Runs
) -> list[LayerChoices]:
    """The layers' choices with what they save in the network instead of alone; those that
    save nothing there are left out."""
    model = network_model(problem, runs)

    def corrected(layer: LayerChoices) -> LayerChoices:
        parts = tuple(part_of(layer.spec_key, choice) for choice in layer.choices[1:])
        return layer.with_savings(model.savings(PlanParts("", parts)))

    return [corrected(layer) for layer in layers]
