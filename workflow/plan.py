"""`rankwise plan`: checks what was asked for, finds the plan, and writes it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from .. import documents
from ..campaign.setup import make_setup
from ..db.store import Store
from ..documents.plan_files import write_plan
from ..errors import GoalNotReached, UsageError
from ..models.output_files import check_output
from ..options.keywords import arguments_for, keywords, takes
from ..options.planning import PlanGoals, PlanOptions
from ..planner.candidate_policy import candidate_policy
from ..planner.find_plan import FoundPlan, find_plan
from ..planner.objective import Objective, PlanningOptions
from ..planner.problem import make_problem
from ..records import content_key
from ..reporter import Listeners
from .backend_choice import with_backend
from .plans_of_devices import plan_for_devices

BOTH = "both"

SAID_ELSEWHERE = {
    *("model", "example_input", "weights", "input_shape", "inputs", "batch", "backend", "threads"),
    *("calibration", "preprocess", "db", "output", "reporter", "max_time_s", "dtype"),
}
"""What a plan says by other means (network, device, policy, pictures), or does not depend on."""


@takes(PlanOptions)
def plan(options: PlanOptions) -> documents.Plan:
    """Choose a kind and rank for each layer; write the plan to `output` if it is given.

    A limit on the network error is to hold on new pictures with the probability `confidence`: the
    plan is confirmed on pictures that the search has not read. After `max_time_s`, and on Ctrl-C
    once there is a plan, the best one so far is left. Without `refine` no network is timed.
    `trials` of an Optuna study may be added, over sums of which the exact solution is proven to
    be the best.

    Only candidates whose measured verdict is FASTER are used, and only for layers of the
    compression mode. With a `rank_selection` other than search each kind offers one candidate,
    the measured one nearest to what that rule chooses. `phase`: inference, training (rows of
    whole training steps), or both: then a training step counts `training_weight` of what is
    saved, and inference the rest. `constraints` are the caller's own, beside those that have a
    word here (docs/extending-constraints.md).

    `devices` (backends or hardware keys of what was measured, in this machine or not) are served by
    one plan: the one that gains most on the device where it gains least. The best plan of each
    device alone is stored, too, and written beside `output`, with the device in its name.

    Raises `UsageError` if nothing was measured for this network, device and policy,
    `GoalNotReached` (after writing the best plan there is) if the limits cannot be met.

    >>> plan = rw.plan(network, example, backend="fake", max_error=0.9, output="plan.json")
    >>> {name: str(chosen) for name, chosen in plan.decisions.items()}
    {'conv': 'spatial_svd 16'}
    >>> plan.predicted.speedup > 1.5
    True
    >>> [(layer.name, layer.reason) for layer in plan.layers]
    [('conv', 'faster'), ('head', 'unsupported: full rank 10 is below the rank quantum 16')]
    """
    objective = Objective(**arguments_for(Objective, options))
    objective.check()
    if options.output is not None:
        check_output(options.output, options.model, options.weights)
    planning = _planning(options)
    phase = "inference" if options.phase == BOTH else options.phase
    if options.devices:
        return _written(options, plan_for_devices(options, objective, planning, phase))
    setup = make_setup(**arguments_for(make_setup, with_backend(options), phase=phase))
    with Store.open(options.db, create=False) as store:
        pictures = setup.pictures(options.calibration, options.preprocess, options.seed)
        reporter = Listeners.of(options.reporter)
        outcome = find_plan(make_problem(setup, store, objective, planning, pictures, reporter))
        if outcome.finished:
            outcome.document.search.asked_key = asked_key(options)
        store.plans.put(outcome.document.model_dump(mode="json"))
    return _written(options, outcome)


def _written(options: PlanOptions, outcome: FoundPlan) -> documents.Plan:
    if options.output is not None:
        write_plan(outcome.document, options.output)
    if outcome.shortfall:
        raise GoalNotReached(outcome.shortfall, outcome.document)
    return outcome.document


def _planning(options: PlanOptions) -> PlanningOptions:
    """How the planner searches. Raises `UsageError` and its children."""
    weight = options.training_weight
    if not 0 < weight < 1:
        raise UsageError(f"--training-weight must lie between 0 and 1, not {weight}")
    given = arguments_for(
        PlanningOptions,
        options,
        candidate_policy=candidate_policy(**arguments_for(candidate_policy, options)),
        training_weight=weight if options.phase == BOTH else None,
    )
    return PlanningOptions(**given)


def asked_key(options: PlanGoals) -> str | None:
    """Return a key of what is asked of a plan beside its network, device and pictures; None where
    that depends on functions or files, which may have changed when they are called again."""
    if options.constraints or options.evaluate is not None or Path(options.mode).suffix:
        return None
    asked = keywords(options)
    return content_key(
        {f.name: asked[f.name] for f in fields(PlanGoals) if f.name not in SAID_ELSEWHERE}
    )
