"""`rankwise pareto`: the front of speedup against network error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..campaign.rows import costs
from ..campaign.setup import load_pictures, make_setup
from ..db.store import Store
from ..errors import BackendError
from ..network_timing.inference_runs import can_time, compare_networks
from ..planner.candidate_policy import candidate_policy
from ..planner.plan_document import calibration_note
from ..planner.planner import Objective, Planner, PlanningOptions
from ..planner.whole_runs import descriptions_of, network_model, plan_of
from ..reporter import Reporter, Silent
from ..search.front import exact_front, sampled_front
from .store import DEFAULT_DB

if TYPE_CHECKING:
    from ..records import Comparison
    from ..search.network_model import Forecast
    from ..search.space import Assignment

DEFAULT_MAX_ERROR = 0.5


def pareto(
    model: Any,
    example_input: Any = None,
    *,
    backend: str,
    max_error: float = DEFAULT_MAX_ERROR,
    points: int = 12,
    trials: int = 0,
    sampler: str = "nsgaii",
    refine: bool = False,
    db: str = DEFAULT_DB,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    threads: int = 1,
    calibration: Path | None = None,
    preprocess: str | None = None,
    seed: int = 0,
    mode: str = "vanilla",
    reporter: Reporter | None = None,
) -> documents.Pareto:
    """Plans for `points` error limits up to `max_error`, and what `trials` of a study with two
    objectives add to them; those that another one beats in error and speedup are left out.

    Network errors are measured on the select split. Speedups follow from the layers' rows;
    with `refine` every point is timed as a whole network. Raises as `plan` does.
    """
    objective = Objective(max_error=max_error)
    objective.check()
    layers = candidate_policy(mode)
    setup = make_setup(
        model,
        backend=backend,
        example_input=example_input,
        weights=weights,
        input_shape=input_shape,
        batch=batch,
        threads=threads,
    )
    reason = can_time(setup) if refine else ""
    if reason:
        raise BackendError(reason)
    with Store.open(db, create=False) as store:
        options = PlanningOptions(db, trials, sampler, refine, seed, layers)
        pictures = load_pictures(setup, calibration, preprocess, seed)
        planner = Planner(setup, store, objective, options, pictures, reporter or Silent())
        return _document(planner, _assignments(planner, max_error, points))


def _assignments(planner: Planner, max_error: float, points: int) -> list[Assignment]:
    layers, options = planner.choices(), planner.options
    found = exact_front(layers, max_error**2, points)
    if options.trials:
        found = sampled_front(
            layers,
            max_error**2,
            trials=options.trials,
            sampler=options.sampler,
            seed=options.seed,
            seeds=found,
        )
    return [assignment for assignment in found if assignment.decisions]


def _document(planner: Planner, assignments: Sequence[Assignment]) -> documents.Pareto:
    timed = _timed(planner, assignments) if planner.options.refine else {}
    original = documents.FrontPoint(
        speedup=1.0,
        speedup_low=1.0,
        speedup_high=1.0,
        latency_s=planner.original_latency_s(),
        measured=False,
        network_error=0.0,
        network_error_upper=0.0,
        macs=_total(planner, {})[0],
        params=_total(planner, {})[1],
        replaced=0,
        decisions={},
    )
    found = [_point(planner, a, timed.get(a.key)) for a in assignments]
    return documents.Pareto(
        model=planner.setup.model,
        device=documents.Fingerprint.of(planner.setup.fingerprint),
        policy=planner.setup.policy.to_json(),
        calibration=calibration_note(planner.calibration),
        points=front([original, *found]),
    )


def front(points: Sequence[documents.FrontPoint]) -> list[documents.FrontPoint]:
    """Those that no other one matches or beats in both error and speedup, by rising error."""
    kept: list[documents.FrontPoint] = []
    for point in sorted(points, key=lambda p: (p.network_error, -p.speedup)):
        if not kept or point.speedup > kept[-1].speedup:
            kept.append(point)
    return kept


def _timed(planner: Planner, assignments: Sequence[Assignment]) -> dict[str, Comparison]:
    planner.reporter.message(f"timing {len(assignments)} whole networks")
    networks = {a.key: planner.assembly.network_with(a.decisions) for a in assignments}
    return compare_networks(planner.setup, planner.store, networks, descriptions_of(assignments))


def _point(
    planner: Planner, assignment: Assignment, timed: Comparison | None
) -> documents.FrontPoint:
    decisions = assignment.decisions
    error = planner.sensitivity.measured(decisions)
    speed = timed or _predicted(planner, assignment)
    macs, params = _total(planner, decisions)
    return documents.FrontPoint(
        speedup=speed.speedup,
        speedup_low=speed.speedup_low,
        speedup_high=speed.speedup_high,
        latency_s=timed.latency_s if timed else planner.original_latency_s() / speed.speedup,
        measured=timed is not None,
        network_error=error.value,
        network_error_upper=error.upper,
        macs=macs,
        params=params,
        replaced=len(decisions),
        decisions={n: documents.Decomposition.of(d) for n, d in decisions.items()},
    )


def _predicted(planner: Planner, assignment: Assignment) -> Forecast:
    """From the layers alone: no whole network was timed."""
    return network_model(planner, {}).forecast(plan_of(assignment))


def _total(planner: Planner, decisions: Mapping[str, Any]) -> tuple[int, int]:
    """MACs and parameters of all layers that have a spec."""
    from ..records import ORIGINAL

    each = [
        costs(use.spec, decisions.get(use.name, ORIGINAL))
        for use in planner.setup.network.layers
        if use.spec
    ]
    return sum(macs for macs, _ in each), sum(params for _, params in each)
