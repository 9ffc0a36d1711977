"""`rankwise plan`: checks what was asked for, finds the plan, and writes it."""

from __future__ import annotations

from .. import documents
from ..campaign.setup import make_setup
from ..db.store import Store
from ..documents.plan_files import write_plan
from ..errors import GoalNotReached, UsageError
from ..models.output_files import check_output
from ..options.keywords import arguments_for, takes
from ..options.planning import PlanOptions
from ..planner.candidate_policy import candidate_policy
from ..planner.find_plan import find_plan
from ..planner.objective import Objective, PlanningOptions
from ..planner.problem import make_problem
from ..reporter import Silent

BOTH = "both"
DEFAULT_TRIALS = 200
"""Trials of a plan that is refined in the network. One that is not knows only sums, of which the
exact solution is proven to be the best: a study could not find a better one."""


@takes(PlanOptions)
def plan(options: PlanOptions) -> documents.Plan:
    """Choose a kind and rank for each layer; write the plan to `output` if it is given.

    `trials` of the Optuna study are by default `DEFAULT_TRIALS` with `refine`, else none. Without
    `refine` no network is timed, and none is run either where the errors of plans that were
    measured earlier say what this one's is.

    Only candidates whose measured verdict is FASTER are used, and only for layers of the
    compression mode. With a `rank_selection` other than search each kind offers one candidate,
    the measured one nearest to what that rule chooses. `phase`: inference, training (rows of
    whole training steps), or both: then a training step counts `training_weight` of what is
    saved, and inference the rest. `constraints` are the caller's own, beside those that have a
    word here (docs/extending-constraints.md).

    Raises `UsageError` if nothing was measured for this network, device and policy,
    `GoalNotReached` (after writing the best plan there is) if the limits cannot be met.
    """
    objective = Objective(**arguments_for(Objective, options))
    objective.check()
    if options.output is not None:
        check_output(options.output, options.model, options.weights)
    planning = _planning(options)
    phase = "inference" if options.phase == BOTH else options.phase
    setup = make_setup(**arguments_for(make_setup, options, phase=phase))
    with Store.open(options.db, create=False) as store:
        pictures = setup.pictures(options.calibration, options.preprocess, options.seed)
        reporter = options.reporter or Silent()
        outcome = find_plan(make_problem(setup, store, objective, planning, pictures, reporter))
        store.plans.put(outcome.document.model_dump(mode="json"))
    if options.output is not None:
        write_plan(outcome.document, options.output)
    if outcome.shortfall:
        raise GoalNotReached(outcome.shortfall, outcome.document)
    return outcome.document


def _planning(options: PlanOptions) -> PlanningOptions:
    """How the planner searches. Raises `UsageError` and its children."""
    weight, default_trials = options.training_weight, DEFAULT_TRIALS if options.refine else 0
    if not 0 < weight < 1:
        raise UsageError(f"--training-weight must lie between 0 and 1, not {weight}")
    given = arguments_for(
        PlanningOptions,
        options,
        trials=default_trials if options.trials is None else options.trials,
        candidate_policy=candidate_policy(**arguments_for(candidate_policy, options)),
        training_weight=weight if options.phase == BOTH else None,
        estimate=not options.refine,
    )
    return PlanningOptions(**given)
