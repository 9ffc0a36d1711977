"""The front of speedup against network error: plans on it, and the document that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .. import documents
from ..campaign.rows import use_costs
from ..models.notes import calibration_note, error_note
from ..network_timing.inference_runs import compare_networks
from ..records import ORIGINAL, Comparison, Decomposition
from ..search.front import exact_front, sampled_front, undominated
from ..search.network_model import Forecast
from ..search.space import Assignment
from .objective import Objective
from .problem import PlanProblem, choices
from .promise import interval
from .solution import solve_within
from .whole_runs import description, network_model, plan_of

Plans = Iterable[tuple[Assignment, float | None]]
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
    """The best additive plan at each limit on the *measured* error; different ones."""
    layers, plans = choices(problem), dict[str, tuple[Assignment, float | None]]()
    for number, limit in enumerate(sorted(set(limits))):
        problem.reporter.progress(number, len(limits), f"network error up to {limit:g}")
        aimed = problem.aimed_at(Objective(max_error=limit))
        best = solve_within(aimed, layers, limit**2).assignment
        plans.setdefault(best.key, (best, limit))
    return plans.values()


def front_document(problem: PlanProblem, plans: Plans) -> documents.Pareto:
    """The original and those of the plans that nothing beats in both error and speedup; with
    `refine` each is timed as a whole network."""
    changed = [(plan, limit) for plan, limit in plans if plan.decisions]
    runs = _timed(problem, [plan for plan, _ in changed]) if problem.options.refine else {}
    every = [(Assignment((), ()), None), *changed]
    points = [_point(problem, plan, limit, runs.get(plan.key)) for plan, limit in every]
    return documents.Pareto(
        model=problem.setup.model,
        device=documents.Fingerprint.of(problem.setup.fingerprint),
        policy=problem.setup.policy.to_json(),
        calibration=calibration_note(problem.calibration),
        layers=len(problem.setup.network.layers),
        points=undominated(points, lambda p: p.network_error, lambda p: p.speedup),
    )


def _timed(problem: PlanProblem, plans: Sequence[Assignment]) -> dict[str, Comparison]:
    problem.reporter.message(f"timing {len(plans)} whole networks")
    networks = {plan.key: problem.assembly.network_with(plan.decisions) for plan in plans}
    descriptions = {plan.key: description(plan) for plan in plans}
    return compare_networks(problem.setup, problem.store, networks, descriptions)


def _point(
    problem: PlanProblem, plan: Assignment, max_error: float | None, run: Comparison | None
) -> documents.FrontPoint:
    error = problem.evidence.select.of(plan.decisions)
    speed = run or _predicted(problem, plan)
    macs, params = _total(problem, plan.decisions)
    return documents.FrontPoint(
        speedup=speed.speedup,
        speedup_low=speed.speedup_low,
        speedup_high=speed.speedup_high,
        latency_s=run.latency_s if run else problem.original_latency_s() / speed.speedup,
        measured=run is not None,
        network_error=error.value,
        network_error_upper=interval(error, len(error.lost), problem.options.confidence).high,
        max_error=max_error,
        macs=macs,
        params=params,
        replaced=len(plan.decisions),
        errors=error_note(error, problem.evidence.select.inputs.names),
        decisions={n: documents.Decomposition.of(d) for n, d in plan.decisions.items()},
    )


def _predicted(problem: PlanProblem, plan: Assignment) -> Forecast:
    """The speedup by the layers alone: no whole network was timed."""
    if not plan.decisions:
        return Forecast(1.0, 1.0, 1.0, own_run=False)
    return network_model(problem, {}).forecast(plan_of(plan))


def _total(problem: PlanProblem, decisions: Mapping[str, Decomposition]) -> tuple[int, int]:
    """MACs and parameters of all layers that have a spec."""
    each = [
        use_costs(use, decisions.get(use.name, ORIGINAL))
        for use in problem.setup.network.layers
        if use.spec
    ]
    return sum(macs for macs, _ in each), sum(params for _, params in each)
