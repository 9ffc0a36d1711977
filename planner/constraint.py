"""What a plan has to keep: one class for each constraint, and all of a problem's together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, Self, runtime_checkable

from ..factors.assembly import Assembly
from ..records import LayerSpec
from ..search.exact import Ceiling, SolverLimits
from ..search.space import Assignment, Choice


class Constraint(Protocol):
    """One thing that a plan has to keep. `name` says in words what is limited."""

    @property
    def name(self) -> str: ...

    def usage(self, plan: Assignment, assembly: Assembly) -> float:
        """The share of the limit that a plan uses: 0 as the original network does, at most 1
        where the limit is kept. A plan with less error is expected to use less of it."""
        ...


@runtime_checkable
class AdditiveConstraint(Constraint, Protocol):
    """A limit on what adds up over layers: the exact solver keeps it by itself. A class that
    inherits this one says what one choice for a layer has, and gets its `usage`."""

    limit: float

    def amount(self, spec: LayerSpec, choice: Choice) -> float:
        """What a layer has once it is computed by this choice."""
        ...

    def ceiling(self, assembly: Assembly) -> Ceiling:
        """The constraint as the exact solver takes it."""
        return Ceiling(self.name, self.limit, partial(self._amount, assembly))

    def usage(self, plan: Assignment, assembly: Assembly) -> float:
        return 1 + self.ceiling(assembly).excess(plan)

    def _amount(self, assembly: Assembly, layer: str, choice: Choice) -> float:
        """Layers without a spec cannot change, and have none."""
        spec = assembly.specs[layer]
        return 0 if spec is None else self.amount(spec, choice)


@dataclass(frozen=True, slots=True)
class Constraints:
    """All that plans of one network have to keep. The exact solver keeps `additive` ones; whether
    a plan keeps the `judged` ones is measured plan by plan."""

    judged: tuple[Constraint, ...]
    additive: tuple[AdditiveConstraint, ...]
    assembly: Assembly

    @classmethod
    def of(cls, constraints: Iterable[Constraint], assembly: Assembly) -> Self:
        everyone = tuple(constraints)
        additive = tuple(one for one in everyone if isinstance(one, AdditiveConstraint))
        judged = tuple(one for one in everyone if not isinstance(one, AdditiveConstraint))
        return cls(judged, additive, assembly)

    def limits(
        self, max_error_sq: float | None = None, min_saving_s: float | None = None
    ) -> SolverLimits:
        """The additive ones for the exact solver, with limits on what it models itself."""
        ceilings = tuple(one.ceiling(self.assembly) for one in self.additive)
        return SolverLimits(max_error_sq, ceilings, min_saving_s)

    def usage(self, plan: Assignment) -> float:
        """The largest share that the plan uses of a judged constraint, never below 0."""
        return max([0.0, *(one.usage(plan, self.assembly) for one in self.judged)])

    def without(self, kind: type) -> Constraints:
        """All but the judged ones of that class."""
        return replace(self, judged=tuple(one for one in self.judged if not isinstance(one, kind)))

    def allow(self, plan: Assignment) -> bool:
        """Whether the plan keeps all of them."""
        return self.limits().allow(plan) and self.usage(plan) <= 1
