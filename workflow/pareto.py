"""`rankwise pareto`: the front of speedup against network error."""

from __future__ import annotations

from .. import documents
from ..campaign.setup import make_setup
from ..db.store import Store
from ..errors import BackendError, UsageError
from ..network_timing.inference_runs import can_time
from ..options.keywords import arguments_for, takes
from ..options.planning import ParetoOptions
from ..planner.candidate_policy import candidate_policy
from ..planner.front import front_document, modelled_plans, plans_within
from ..planner.objective import Objective, PlanningOptions
from ..planner.problem import make_problem
from ..reporter import Listeners
from .backend_choice import with_backend


@takes(ParetoOptions)
def pareto(options: ParetoOptions) -> documents.Pareto:
    """Plans for `points` limits on the modelled error up to `max_error`, and what `trials` of a
    study with two objectives add to them; or, with `limits`, the best plan of which the *measured*
    error keeps each of these. Plans that another one beats in error and speedup are left out.

    The front stays in the store, where `report` and the page find it. Network errors are measured
    on the select split. Speedups follow from the layers' rows;
    with `refine` every point is timed as a whole network. Raises as `plan` does.

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
    if options.refine and (reason := can_time(setup)):
        raise BackendError(reason)
    with Store.open(options.db, create=False) as store:
        planning = PlanningOptions(
            **arguments_for(PlanningOptions, options, candidate_policy=policy)
        )
        pictures = setup.pictures(options.calibration, options.preprocess, options.seed)
        reporter = Listeners.of(options.reporter)
        problem = make_problem(setup, store, objective, planning, pictures, reporter)
        plans = (
            plans_within(problem, limits)
            if limits
            else modelled_plans(problem, options.max_error, options.points)
        )
        front = front_document(problem, plans)
        store.plans.put(front.model_dump(mode="json"))
        return front
