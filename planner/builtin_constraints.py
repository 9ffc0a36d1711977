"""The constraints that an objective names: network error, score, parameters, bytes of weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..campaign.setup import Setup
from ..factors.assembly import Assembly
from ..records import LayerSpec, element_bytes
from ..search.space import Assignment, Choice
from .constraint import AdditiveConstraint, Constraint, Constraints
from .measured_errors import MeasuredErrors
from .objective import Objective
from .score import find_score


@dataclass(frozen=True, slots=True)
class ErrorLimit:
    """A limit on the network error on the select split. Its usage is in squared error, to which
    the drop of a score is about proportional, too."""

    max_error: float
    errors: MeasuredErrors
    name = "network error"

    def usage(self, plan: Assignment, _assembly: Assembly) -> float:
        return (self.errors.of(plan.decisions).value / self.max_error) ** 2


@dataclass(frozen=True)
class ParameterLimit(AdditiveConstraint):
    """A limit on the parameters of all layers together."""

    limit: float
    name = "parameters"

    def amount(self, _spec: LayerSpec, choice: Choice) -> float:
        return choice.params


@dataclass(frozen=True)
class WeightBytesLimit(AdditiveConstraint):
    """A limit on the size of all layers' weights."""

    limit: float
    element_bytes: int
    name = "bytes of weights"

    def amount(self, _spec: LayerSpec, choice: Choice) -> float:
        return choice.params * self.element_bytes


def constraints_of(objective: Objective, setup: Setup, errors: MeasuredErrors) -> Constraints:
    """All that the objective asks for. Raises `UsageError` for a score that cannot be taken."""
    every = _each(objective, setup, errors)
    return Constraints.of(every, errors.assembly)


def _each(objective: Objective, setup: Setup, errors: MeasuredErrors) -> Iterator[Constraint]:
    if objective.max_error is not None:
        yield ErrorLimit(objective.max_error, errors)
    score = find_score(objective.evaluate, objective.floor, setup.network)
    if score is not None:
        yield score
    if objective.max_params is not None:
        yield ParameterLimit(objective.max_params)
    if objective.max_weight_bytes is not None:
        yield WeightBytesLimit(objective.max_weight_bytes, element_bytes(setup.policy.dtype))
    yield from objective.constraints
