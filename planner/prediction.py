"""What a plan is predicted to bring and to lose, as it stands in the document."""

from __future__ import annotations

from .. import documents
from ..models.notes import error_note
from .found import Found
from .problem import PlanProblem
from .whole_runs import network_model, plan_of


def predicted(problem: PlanProblem, found: Found) -> documents.Predicted:
    """What the latency model says of the winner, and what was measured of its error."""
    chosen, runs = found.winner, found.runs
    error = problem.evidence.select.of(chosen.decisions)
    if not runs and not problem.original_latency_s():  # nothing applies to this network
        return documents.Predicted(
            latency_s=None,
            speedup=1.0,
            speedup_low=1.0,
            speedup_high=1.0,
            network_error=0.0,
            model_error=None,
        )
    model = network_model(problem, runs)
    forecast = model.forecast(plan_of(chosen))
    return documents.Predicted(
        latency_s=model.original_s / forecast.speedup,
        speedup=forecast.speedup,
        speedup_low=forecast.speedup_low,
        speedup_high=forecast.speedup_high,
        network_error=error.value,
        errors=error_note(error, problem.evidence.select.inputs.names),
        model_error=model.held_out(),
        runs=len(runs),
        own_run=forecast.own_run,
    )


def promise(problem: PlanProblem, found: Found) -> documents.Promise | None:
    """What is promised of the error on new pictures; None where no error was limited."""
    limit, confirmed = problem.objective.max_error, found.confirmed
    if limit is None:
        return None
    confirm = problem.evidence.confirm
    return documents.Promise(
        max_error=limit,
        confidence=problem.options.confidence,
        confirmed=confirmed is not None,
        reason=found.why_not,
        pictures=confirm.inputs.pictures if confirm else 0,
        looks=confirmed.looks if confirmed else 0,
        network_error=confirmed.interval.value if confirmed else None,
        upper=confirmed.interval.high if confirmed else None,
    )
