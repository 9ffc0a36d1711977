"""The front of speedup against network error: plans on it, and the document that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import fmean

from .. import documents
from ..campaign.rows import use_costs
from ..campaign.setup import Setup
from ..errors import GoalNotReached
from ..models.notes import calibration_note, error_note
from ..records import ORIGINAL, Decomposition
from ..search.front import exact_front, sampled_front, undominated
from ..search.space import Assignment
from . import over_float32
from .objective import Objective
from .over_float32 import OverFloat32
from .problem import PlanProblem, choices
from .promise import interval
from .solution import solve_within

Plans = Sequence[tuple[Assignment, float | None]]
"""Plans, each with the limit on the network error that it was solved for, if it was for one."""


def modelled_plans(problem: PlanProblem, max_error: float, points: int) -> Plans:
    """Plans at `points` limits on the *modelled* error, and what a study's trials add to them."""
    layers, options = choices(problem), problem.options
    plans = exact_front(layers, max_error**2, points)
    if options.trials:
        plans = sampled_front(
            layers,
            max_error**2,
            trials=options.trials,
            sampler=options.sampler,
            seed=options.seed,
            seeds=plans,
        )
    return [(plan, None) for plan in plans]


def plans_within(problem: PlanProblem, limits: Sequence[float]) -> Plans:
    """The best additive plan at each limit on the *measured* error; different ones. A limit below
    what the network loses as it is (in int8), which no plan keeps, has none."""
    layers, plans = choices(problem), dict[str, tuple[Assignment, float | None]]()
    for number, limit in enumerate(sorted(set(limits))):
        problem.reporter.progress(number, len(limits), f"network error up to {limit:g}")
        aimed = problem.aimed_at(Objective(max_error=limit))
        with suppress(GoalNotReached):
            best = solve_within(aimed, layers, limit**2).assignment
            plans.setdefault(best.key, (best, limit))
    return list(plans.values())


def front_document(original: Setup, found: Sequence[tuple[PlanProblem, Plans]]) -> documents.Pareto:
    """The original in float32, of which `original` is the set-up, the originals in the problems'
    dtypes, and the plans, save for those that another one beats in both error and speedup."""
    problems = [problem for problem, _ in found]
    known = [
        OverFloat32.of(problem, original, [plan for plan, _ in plans if plan.decisions])
        for problem, plans in found
    ]
    original_s = _original_latency_s(known)
    first = _in_float32(problems[0], original)
    points = [_point(OverFloat32(first, {}, {}), over_float32.ORIGINAL, None, original_s)]
    for over, (problem, plans) in zip(known, found, strict=True):
        quantised = problem.assembly.form is not None
        every = [(over_float32.ORIGINAL, None), *plans] if quantised else plans
        made = [_point(over, *one, original_s) for one in every if quantised or one[0].decisions]
        # Where every layer stays in float32, nothing is quantised: that is the original again.
        points += [one for one in made if not quantised or one.network_error > 0]
    return documents.Pareto(
        model=original.model,
        device=documents.Fingerprint.of(original.fingerprint),
        policy=original.policy.to_json(),
        calibration=calibration_note(first.calibration),
        layers=len(original.network.layers),
        points=undominated(points, lambda p: p.network_error, lambda p: p.speedup),
    )


def _original_latency_s(known: Sequence[OverFloat32]) -> float:
    """As it was timed beside the whole networks; the sum of its layers where there are none."""
    timed = [run.original_latency_s for over in known for run in over.timed.values()]
    return fmean(timed) if timed else known[0].problem.original_latency_s()


def _in_float32(problem: PlanProblem, original: Setup) -> PlanProblem:
    """The problem for networks that stay as they are."""
    evidence = problem.evidence.on(problem.assembly.in_form(None))
    return replace(problem, setup=original, evidence=evidence)


def _point(
    over: OverFloat32, plan: Assignment, max_error: float | None, original_s: float
) -> documents.FrontPoint:
    problem, run = over.problem, over.timed.get(plan.key)
    error = problem.evidence.select.of(plan.decisions)
    speed = run or over.predicted(plan)
    macs, params = _total(problem, plan.decisions)
    return documents.FrontPoint(
        dtype=problem.setup.policy.dtype,
        speedup=speed.speedup,
        speedup_low=speed.speedup_low,
        speedup_high=speed.speedup_high,
        latency_s=run.latency_s if run else original_s / speed.speedup,
        measured=run is not None,
        network_error=error.value,
        network_error_upper=interval(error, len(error.lost), problem.options.confidence).high,
        max_error=max_error,
        macs=macs,
        params=params,
        replaced=sum(one.has_factors for one in plan.decisions.values()),
        errors=error_note(error, problem.evidence.select.inputs.names),
        decisions={n: documents.Decomposition.of(d) for n, d in plan.decisions.items()},
    )


def _total(problem: PlanProblem, decisions: Mapping[str, Decomposition]) -> tuple[int, int]:
    """MACs and parameters of all layers that have a spec."""
    each = [
        use_costs(use, decisions.get(use.name, ORIGINAL))
        for use in problem.setup.network.layers
        if use.spec
    ]
    return sum(macs for macs, _ in each), sum(params for _, params in each)
