"""`rankwise pareto`: the front of speedup against network error."""

from __future__ import annotations

from collections.abc import Sequence

from .. import documents
from ..campaign.setup import Setup, make_setup
from ..db.store import Store
from ..errors import BackendError, UsageError
from ..models.compared import Compared
from ..network_timing.inference_runs import can_time
from ..options.keywords import arguments_for, takes
from ..options.planning import ON_FRONT, ParetoOptions
from ..planner.candidate_policy import candidate_policy
from ..planner.front import Plans, front_document, modelled_plans, plans_within
from ..planner.objective import Objective, PlanningOptions
from ..planner.precision import form_of
from ..planner.problem import PlanProblem, make_problem
from ..reporter import Listeners
from .backend_choice import with_backend


@takes(ParetoOptions)
def pareto(options: ParetoOptions) -> documents.Pareto:
    """Plans for `points` limits on the modelled error up to `max_error`, and what `trials` of a
    study with two objectives add to them; or, with `limits`, the best plan of which the *measured*
    error keeps each of these. Plans that another one beats in error and speedup are left out.

    With `dtypes` float32 and int8 there are plans of both on the one front. All speedups are over
    the original in float32: how much faster the original in int8 is than that one is timed of the
    whole network, and counts in the intervals.

    The front stays in the store, where `report` and the page find it. Network errors are measured
    on the select split. Speedups follow from the layers' rows, save for plans that were timed as
    whole networks before; with `refine` every point is. Raises as `plan` does.

    >>> front = rw.pareto(network, example, backend="fake", points=3, max_error=0.9)
    >>> [(point.replaced, point.speedup > 1) for point in front.points]
    [(0, False), (1, True)]
    """
    limits = options.limits
    objective = Objective(max_error=max(limits, default=options.max_error))
    objective.check()
    if any(not limit > 0 for limit in limits):
        raise UsageError("a front needs limits on the network error that are more than 0")
    policy = candidate_policy(options.mode)
    setup = make_setup(**arguments_for(make_setup, with_backend(options)))
    setups = _in_dtypes(setup, options.dtypes or ["float32"])
    if (options.refine or setups != [setup]) and (reason := can_time(setup)):
        raise BackendError(reason)
    with Store.open(options.db, create=False) as store:
        planning = PlanningOptions(
            **arguments_for(PlanningOptions, options, candidate_policy=policy)
        )
        pictures = setup.pictures(options.calibration, options.preprocess, options.seed)
        compared = Compared.whole(setup.network.output_names.compared)
        for one in setups:  # what int8 cannot do is said before anything is searched
            form_of(one, pictures, compared)
        reporter = Listeners.of(options.reporter)
        problems = [
            make_problem(one, store, objective, planning, pictures, reporter) for one in setups
        ]
        front = front_document(setup, [(one, _plans(one, options)) for one in problems])
        store.plans.put(front.model_dump(mode="json"))
        return front


def _in_dtypes(setup: Setup, dtypes: Sequence[str]) -> list[Setup]:
    """The set-up in each of the dtypes, float32 first. Raises `UsageError` for one that no front
    has, `BackendError` for one that the device cannot compute in."""
    for dtype in dtypes:
        if dtype not in ON_FRONT:
            raise UsageError(f"a front has plans in {' and '.join(ON_FRONT)}, not in {dtype!r}")
    wanted = [dtype for dtype in ON_FRONT if dtype in dtypes]
    return [setup if dtype == "float32" else setup.in_dtype(dtype) for dtype in wanted]


def _plans(problem: PlanProblem, options: ParetoOptions) -> Plans:
    if options.dtypes:
        problem.reporter.message(f"plans in {problem.setup.policy.dtype}")
    if options.limits:
        return plans_within(problem, options.limits)
    return modelled_plans(problem, options.max_error, options.points)
