"""From a problem to its plan: the steps of the search in their order.

Sums over layers are solved exactly and measured (`solution`), whole networks are timed and the
sums solved again with what they teach (`learning`), the result is held against the limit on
pictures that nothing has read (`confirmation`), and what is left is timed once more: what was
chosen for a lucky run must not be promised for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .. import documents
from ..errors import GoalNotReached
from ..search.space import LayerChoices
from .confirmation import confirmed
from .found import Found
from .learning import ROUNDS, Learned, learn
from .matched_channels import with_matched_channels
from .measured_errors import PASS
from .plan_document import plan_document
from .problem import PlanProblem, choices
from .promise import Interval
from .solution import STEPS, Solution, original, solve_as_asked
from .studies import with_study
from .whole_runs import TIMING, as_measured, network_model, plan_of, timed

LOOKS = 4
"""Plans that are about looked at on the confirm split."""

INTERRUPTED = "the search was interrupted before"


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search has found: with the problem whose assembly makes it, the choices and the
    solution that it began with, and whether it came to its end."""

    problem: PlanProblem
    layers: Sequence[LayerChoices]
    found: Found
    solution: Solution
    finished: bool


@dataclass(frozen=True, slots=True)
class FoundPlan:
    """The plan, what it is short of (empty if it keeps every limit), and whether the search came
    to its end, which Ctrl-C and a time limit keep it from."""

    document: documents.Plan
    shortfall: str
    finished: bool = True


def find_plan(problem: PlanProblem) -> FoundPlan:
    """The best plan there is. Raises `GoalNotReached` where none keeps all constraints.

    Once there is a plan, Ctrl-C and the end of the time that the user gave leave the best so far.
    """
    searched = search(problem, choices(problem))
    document = plan_document(searched.problem, searched.layers, searched.found, searched.solution)
    if (cache := searched.problem.assembly.cache) is not None:
        cache.trim()
    return FoundPlan(document, shortfall(document), searched.finished)


def search(problem: PlanProblem, layers: Sequence[LayerChoices]) -> Searched:
    """What `find_plan` writes down, from the choices of each layer."""
    problem.progress.expect(PASS, STEPS + LOOKS)
    if problem.options.refine:
        problem.progress.expect(TIMING, ROUNDS + 2)
    solution = solve_as_asked(problem, layers)
    if problem.options.trials:
        solution = with_study(problem, layers, solution)
    found, finished = Found(as_measured(layers, solution.assignment), why_not=INTERRUPTED), True
    try:
        for step in _refined(problem, layers, solution):
            problem, found = step
    except KeyboardInterrupt:
        finished = False
        problem.reporter.message("interrupted: what follows is the best plan so far")
    finished = finished and not problem.progress.over
    return Searched(problem, layers, found, solution, finished)


def _refined(
    problem: PlanProblem, layers: Sequence[LayerChoices], solution: Solution
) -> Iterator[tuple[PlanProblem, Found]]:
    """What is found, step by step, for an interrupt to leave the last of it, each time with the
    problem whose assembly makes it."""
    matched = with_matched_channels(problem, solution.assignment)
    if matched is not problem:
        solution = solve_as_asked(matched, layers, solution.full_budget)
        problem = matched
        yield problem, Found(as_measured(layers, solution.assignment), why_not=INTERRUPTED)
    learned = learn(problem, layers, solution)
    winner = as_measured(layers, learned.solution.assignment)
    yield problem, Found(winner, why_not=INTERRUPTED, runs=learned.runs)
    problem.progress.expect(PASS, LOOKS)
    problem.progress.expect(TIMING, 1 if learned.runs else 0)
    found = _confirmed(problem, layers, learned)
    yield problem, found
    if found.runs:
        yield problem, _timed_afresh(problem, layers, found)


def _confirmed(problem: PlanProblem, layers: Sequence[LayerChoices], learned: Learned) -> Found:
    """The plan that keeps the limit on the confirm split, where there is one of both."""
    if problem.evidence.confirm is None or problem.objective.max_error is None:
        winner = as_measured(layers, learned.solution.assignment)
        return Found(winner, why_not="there are no pictures to confirm it on", runs=learned.runs)
    last = confirmed(problem, learned.layers, learned.solution)
    if last is None:
        if not problem.constraints.limits().allow(original(layers)):
            raise GoalNotReached(
                "no plan keeps the limit on the network error on pictures that the search has not "
                "read and the other limits, too: relax one of them"
            )
        problem.reporter.message("no plan keeps the limit on the confirm split")
        return Found(original(layers), why_not="no plan could be confirmed", runs=learned.runs)
    return Found(as_measured(layers, last.assignment), last, runs=learned.runs)


def _timed_afresh(problem: PlanProblem, layers: Sequence[LayerChoices], found: Found) -> Found:
    """The winner timed once more; the original in its place if it is no faster than that, and
    the limits allow the original."""
    winner = found.winner
    if not winner.decisions or problem.progress.over:
        return found
    fresh = timed(problem, [winner], purpose=f"final of {winner.key}")
    runs = found.runs | fresh
    ((_, run),) = fresh.values()
    if run.speedup_low <= 1 and problem.constraints.limits().allow(original(layers)):
        return replace(_of_original(found, layers), runs=runs)
    savings = network_model(problem, runs).savings(plan_of(winner))
    in_network = dict(zip(winner.decisions, savings, strict=True))
    return replace(found, runs=runs, in_network=in_network)


def _of_original(found: Found, layers: Sequence[LayerChoices]) -> Found:
    """The original in place of what was found: it loses nothing on any pictures."""
    nothing, last = original(layers), found.confirmed
    if last is not None:
        lossless = Interval(0.0, 0.0, 0.0, last.interval.level)
        last = replace(last, assignment=nothing, interval=lossless)
    return replace(found, winner=nothing, confirmed=last)


def shortfall(document: documents.Plan) -> str:
    """Return what a plan is short of that was asked for, in one sentence; empty if of nothing."""
    target, reached = document.objective.get("target_speedup"), document.predicted.speedup
    if target is None or (reached is not None and reached >= target):
        return ""
    best = "cannot be predicted" if reached is None else f"is predicted to reach {reached:.3f}"
    return f"the target speedup {target:g} was not reached: the best plan, which is kept, {best}"
