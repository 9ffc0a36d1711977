"""One plan for several devices: whichever of them gains least gains as much as can be.

What pictures say is the same on all devices, and gathered once; what layers take is each device's
own. A choice has to be measured on all of them and faster on one at least. Where it is not
measurably faster it counts as no gain, or as the loss that was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .. import documents
from ..records import Decomposition
from ..search.common import CommonSolver, DeviceSavings
from ..search.space import Assignment, Choice, LayerChoices
from .find_plan import FoundPlan, search, shortfall
from .found import Found
from .plan_document import plan_document
from .prediction import predicted
from .problem import PlanProblem, choices
from .whole_runs import Runs, as_measured, cannot_time, timed

Judged = Mapping[Decomposition, Choice]
"""All that was measured of a layer on one device, whatever its verdict."""


@dataclass(frozen=True, slots=True)
class OnDevice:
    """The common plan as one device sees it. `why_not` it was timed whole there, if it was not."""

    problem: PlanProblem
    layers: Sequence[LayerChoices]
    found: Found
    predicted: documents.Predicted
    why_not: str


def find_common(problems: Sequence[PlanProblem]) -> FoundPlan:
    """The plan whose least gain over all problems' devices is the largest; the document is written
    for the device that gains least. `problems` differ in nothing but their devices.

    Whole networks are timed on devices that are here, once the plan is found. Raises
    `GoalNotReached` where no plan keeps all constraints.
    """
    own = [choices(problem) for problem in problems]
    layers = common_layers(own)
    solver = common_solver(problems, own, layers)
    asked = replace(problems[0].options, refine=False, trials=0)
    first = replace(problems[0], solver=solver, options=asked)
    searched = search(first, layers[0])
    evidence, constraints = searched.problem.evidence, searched.problem.constraints
    seen = [
        _on_device(replace(one, evidence=evidence, constraints=constraints), of, searched.found)
        for one, of in zip(problems, layers, strict=True)
    ]
    least = min(seen, key=lambda one: one.predicted.speedup or 1.0)
    document = plan_document(least.problem, least.layers, least.found, searched.solution)
    document.on_devices = [_note(one) for one in seen]
    return FoundPlan(document, shortfall(document), searched.finished)


def common_solver(
    problems: Sequence[PlanProblem],
    own: Sequence[Sequence[LayerChoices]],
    layers: Sequence[Sequence[LayerChoices]],
) -> CommonSolver:
    """The solver for `layers`, the common ones of `own`, both by device."""
    return CommonSolver(tuple(map(_savings, problems, own, layers)))


def common_layers(seen: Sequence[Sequence[LayerChoices]]) -> list[list[LayerChoices]]:
    """The choices that all devices have, by device: equal decompositions and errors, each device's
    own savings. `seen` are the choices of all layers on each device."""
    by_layer = [_of_layer(of) for of in zip(*seen, strict=True)]
    return [list(of) for of in zip(*by_layer, strict=True)]


def _of_layer(seen: Sequence[LayerChoices]) -> list[LayerChoices]:
    judged = [{c.decomposition: c for c in (*of.choices, *of.rejected)} for of in seen]
    errors = {c.decomposition: c.error_sq for of in seen for c in of.choices}
    everywhere = [way for way in errors if all(way in of for of in judged)]
    return [
        replace(of, choices=tuple(_taken(its[way], errors[way]) for way in everywhere), rejected=())
        for of, its in zip(seen, judged, strict=True)
    ]


def _taken(choice: Choice, error_sq: float) -> Choice:
    return replace(choice, error_sq=error_sq, reason="")


def _savings(
    problem: PlanProblem, own: Sequence[LayerChoices], layers: Sequence[LayerChoices]
) -> DeviceSavings:
    """What the solver may count on: a gain only where it is among the device's own choices."""
    taken = {(layer.name, choice.decomposition) for layer in own for choice in layer.choices}
    saved = {
        (layer.name, choice.decomposition): choice.saving_s
        for layer in layers
        for choice in layer.choices
    }
    counted = {key: one if key in taken else min(one, 0.0) for key, one in saved.items()}
    return DeviceSavings(problem.original_latency_s(), counted)


def _on_device(problem: PlanProblem, layers: Sequence[LayerChoices], found: Found) -> OnDevice:
    here = replace(found, winner=as_measured(layers, found.winner))
    why_not = _why_not_timed(problem, here.winner)
    if not why_not:
        here = replace(here, runs=_timed(problem, here.winner))
    return OnDevice(problem, layers, here, predicted(problem, here), why_not)


def _why_not_timed(problem: PlanProblem, winner: Assignment) -> str:
    if not winner.decisions:
        return "it changes nothing"
    if not problem.options.refine:
        return "nothing was to be timed"
    return "the time was up" if problem.progress.over else cannot_time(problem)


def _timed(problem: PlanProblem, winner: Assignment) -> Runs:
    return timed(problem, [winner], purpose=f"final of {winner.key}")


def _note(seen: OnDevice) -> documents.OnDevice:
    setup = seen.problem.setup
    return documents.OnDevice(
        device=documents.Fingerprint.of(setup.fingerprint),
        backend=setup.backend_text,
        predicted=seen.predicted,
        timed=not seen.why_not,
        reason=seen.why_not,
    )
