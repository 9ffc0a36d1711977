"""One choice for every layer on several devices at once: the least of their gains is the largest.

A device's gain is the share of its original network's time that is saved. The least of several
sums is not a sum, so this is no knapsack: it is a mixed-integer program with the least gain as a
variable of its own (`maximise z` with `z <= each device's gain`), solved by HiGHS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate, pairwise
from math import fsum, isfinite
from typing import Any

import numpy as np

from ..errors import GoalNotReached
from ..records import Decomposition
from .exact import Ceiling, Items, SolverLimits, pool
from .knapsack_problem import GAP, SLACK, Floats, Ints
from .quiet import silent_output
from .space import Assignment, Choice, LayerChoices

TIME_LIMIT_S = 20.0
"""What is proven by then is the bound."""
TOLERANCE = 4e-6
"""HiGHS allows itself 1e-6 of each limit: where that is used, less is asked for."""


@dataclass(frozen=True, slots=True)
class DeviceSavings:
    """What choices save on one device, in seconds by layer and decomposition, and the seconds of
    the original network there. What is not named saves nothing."""

    original_s: float
    savings_s: Mapping[tuple[str, Decomposition], float]

    def share(self, layer: str, choice: Choice) -> float:
        return self.savings_s.get((layer, choice.decomposition), 0.0) / self.original_s


@dataclass(frozen=True, slots=True)
class CommonSolver:
    """Solves as `exact.solve` does, for all devices. Seconds, in limits and in what is maximised,
    are those of the first device: a device gains so many of them as save the same share there."""

    devices: tuple[DeviceSavings, ...]

    def gains(self, assignment: Assignment) -> list[float]:
        """The share of the original network's time that each device saves."""
        pairs = list(zip(assignment.names, assignment.choices, strict=True))
        return [fsum(one.share(*pair) for pair in pairs) for one in self.devices]

    def saving_s(self, assignment: Assignment) -> float:
        """The least gain, in the first device's seconds."""
        return self.devices[0].original_s * min(self.gains(assignment))

    def allows(self, assignment: Assignment, limits: SolverLimits) -> bool:
        """Whether the limits are kept, the least saving by every device."""
        excesses = limits.violations(assignment)
        if limits.min_saving_s is not None:
            wanted = limits.min_saving_s
            excesses["saving"] = (wanted - self.saving_s(assignment)) / (abs(wanted) or 1.0) - GAP
        return all(excess <= 0 for excess in excesses.values())

    def solve(self, layers: Sequence[LayerChoices], limits: SolverLimits) -> Assignment:
        """The choices whose least gain is the largest, or with `min_saving_s` those of least error
        that give it to every device; within a relative gap of 1e-4, or what 20 seconds prove.
        Where several have the same least gain, no swap of one layer's choice gives others more.

        Raises `GoalNotReached` where no assignment keeps to the limits.
        """
        items = [(layer.name, self._pool(layer, limits)) for layer in layers]
        for shrink in (0.0, TOLERANCE):
            found = _Program(self, items, limits).solve(shrink)
            if found is not None and self.allows(found, limits):
                return found
        raise GoalNotReached("No plan for all devices keeps to all limits at once: relax one.")

    def _pool(self, layer: LayerChoices, limits: SolverLimits) -> tuple[Choice, ...]:
        """The layer's choices that can be part of an optimum: what a choice does not save on some
        device is one more amount of which less is better."""
        lost = (Ceiling("", float("inf"), partial(_lost, one)) for one in self.devices)
        as_limits = SolverLimits(limits.max_error_sq, (*limits.ceilings, *lost))
        return pool(layer, as_limits)


def _lost(device: DeviceSavings, layer: str, choice: Choice) -> float:
    return -device.share(layer, choice)


@dataclass(frozen=True)
class _Program:
    """The columns are all choices, layer by layer, and the least gain."""

    solver: CommonSolver
    items: Items
    limits: SolverLimits

    @cached_property
    def flat(self) -> list[tuple[str, Choice]]:
        return [(name, choice) for name, of in self.items for choice in of]

    @cached_property
    def starts(self) -> list[int]:
        """Where the choices of each layer begin, and where the last ones end."""
        return list(accumulate((len(of) for _, of in self.items), initial=0))

    @cached_property
    def owner(self) -> Ints:
        """The layer of each choice."""
        return np.repeat(np.arange(len(self.items)), np.diff(self.starts))

    @cached_property
    def shares(self) -> Floats:
        """What each choice gains on each device, shape (devices, choices)."""
        return np.array([[one.share(*item) for item in self.flat] for one in self.solver.devices])

    def solve(self, shrink: float) -> Assignment | None:
        """HiGHS's choices, all limits made smaller by the share `shrink`; None where nothing fits,
        or nothing was found in time."""
        from scipy.optimize import Bounds, milp

        count = len(self.flat)
        costs, unit = self._costs()
        least = -np.inf
        if self.limits.min_saving_s is not None:
            wanted = self.limits.min_saving_s / self.solver.devices[0].original_s
            least = wanted + shrink * abs(wanted)
        with silent_output():
            result: Any = milp(
                costs / unit,
                integrality=np.append(np.ones(count), 0),
                bounds=Bounds(np.append(np.zeros(count), least), np.append(np.ones(count), np.inf)),
                constraints=self._constraints(shrink),
                options={"mip_rel_gap": GAP / 2, "time_limit": TIME_LIMIT_S},
            )
        return None if result.x is None else self._assignment(result, unit)

    def _costs(self) -> tuple[Floats, float]:
        """What is minimised, and the unit that HiGHS is to see it in."""
        count = len(self.flat)
        if not self.limits.minimise_error:
            return np.append(np.zeros(count), -1.0), 1.0
        errors = np.array([choice.error_sq for _, choice in self.flat])
        return np.append(errors, 0.0), float(errors.max(initial=0.0)) or 1.0

    def _constraints(self, shrink: float) -> list[Any]:
        from scipy.optimize import LinearConstraint
        from scipy.sparse import csr_array

        columns = np.arange(len(self.flat))
        shape = (len(self.items), len(self.flat) + 1)
        ones = csr_array((np.ones(len(self.flat)), (self.owner, columns)), shape)
        gains = np.pad(self.shares, ((0, 0), (0, 1)), constant_values=-1.0)
        found = [LinearConstraint(ones, 1, 1), LinearConstraint(gains, 0, np.inf)]
        for amounts, limit in self._limited():
            unit = max(abs(limit), float(np.abs(amounts).max(initial=0.0))) or 1.0
            row = np.append(amounts, 0.0)[None] / unit
            found.append(LinearConstraint(row, -np.inf, limit / unit - shrink))
        return found

    def _limited(self) -> Iterator[tuple[Floats, float]]:
        """What all choices have of each limited amount, and the limit."""
        most = self.limits.max_error_sq
        if most is not None and isfinite(most):
            yield np.array([choice.error_sq for _, choice in self.flat]), most
        for ceiling in self.limits.ceilings:
            yield np.array([ceiling.amount(*item) for item in self.flat], float), ceiling.limit

    def _improved(self, picks: Ints) -> Ints:
        """Picks after swaps of single ones, the best first, each of which gives all devices
        together more, and the one that gains least no less."""
        rows = [*self._limited()]
        while True:
            after = self._swapped(self.shares, picks)
            before = self.shares[:, picks].sum(axis=1)
            fits = after.min(axis=0) >= before.min()
            for amounts, limit in rows:
                fits &= self._swapped(amounts[None], picks)[0] <= limit + SLACK * abs(limit)
            sums = np.where(fits, after.sum(axis=0), -np.inf)
            best = int(np.argmax(sums))
            if sums[best] <= before.sum() + SLACK:
                return picks
            picks = picks.copy()
            picks[self.owner[best]] = best

    def _swapped(self, amounts: Floats, picks: Ints) -> Floats:
        """The sums over picks once each item stands in the place of its layer's."""
        picked = amounts[:, picks]
        sums: Floats = picked.sum(axis=1, keepdims=True) + amounts - picked[:, self.owner]
        return sums

    def _assignment(self, result: Any, unit: float) -> Assignment:
        picks = np.array([s + int(np.argmax(result.x[s:e])) for s, e in pairwise(self.starts)])
        if not self.limits.minimise_error:
            picks = self._improved(picks)
        names, choices = zip(*(self.flat[pick] for pick in picks), strict=True)
        plan = Assignment(names, choices)
        bound, value = float(result.mip_dual_bound) * unit, plan.error_sq
        if not self.limits.minimise_error:
            bound, value = -bound * self.solver.devices[0].original_s, self.solver.saving_s(plan)
        gap = abs(bound - value) / max(abs(bound), abs(value), 1e-300)
        return Assignment(names, choices, bound, gap)
