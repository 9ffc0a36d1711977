"""The additive problems of a plan: the one that was asked for, and relatives of it.

Their errors are modelled by factors (see `sensitivity`) that are measured first at one middle
rank of each layer and kind, and then at what a solution has chosen, until solutions stay where
factors were measured. On ResNet-50-thin that saved 6 and 17% more within the same error. What
room the best plan leaves is fill_slack layer by layer; that saved 3% more, and 7% on demosaicking.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ..errors import GoalNotReached
from ..lowrank import lower
from ..search.space import Assignment, LayerChoices, on_quantum
from .repair import fill_slack
from .whole_runs import as_measured

if TYPE_CHECKING:
    from .planner import Planner

PROBE_ROUNDS = 3
"""Times that factors are measured at what a solution has chosen."""
FINALIST_QUANTA = (8, 16, 32)
"""Rank quanta whose best plans are timed as whole networks, too."""

Layers = list[LayerChoices]
Problem = Callable[[Layers], Layers]


@dataclass(frozen=True, slots=True)
class Solved:
    """A problem's layers, its best plan whose measured loss keeps the limits, and the budget
    of modelled squared error that this plan is the best for."""

    layers: Layers
    assignment: Assignment
    budget: float

    def on(self, layers: Layers) -> Solved:
        """The same decisions with what is known of the layers by now."""
        if layers == self.layers:
            return self
        moved = as_measured(layers, self.assignment)
        return Solved(layers, moved, moved.error_sq)


def _as_asked(layers: Layers) -> Layers:
    return layers


def solved(planner: Planner) -> Solved:
    """What was asked for. Raises `GoalNotReached` where no plan keeps all limits."""
    best = _probed(planner)
    if planner.quality.estimating or not planner.quality.limited:
        return best
    more = fill_slack(best.layers, planner.limits, planner.quality, best.assignment)
    return best if more is best.assignment else Solved(best.layers, more, more.error_sq)


def _probed(planner: Planner, problem: Problem = _as_asked) -> Solved:
    """`problem` makes its layers of the plan's."""
    found = [_once(planner, problem)]
    for number in range(PROBE_ROUNDS):
        planner.reporter.progress(number, PROBE_ROUNDS, "sensitivity at what was chosen")
        latest, known_only = found[-1].assignment.decisions, planner.quality.estimating
        if not planner.sensitivity.probe_at(latest, known_only=known_only):
            break
        found.append(_once(planner, problem))
    if not planner.quality.limited:
        return found[-1]
    # Each keeps the limits, so the one that saves most is the best of them.
    return max(found, key=lambda one: one.assignment.saving_s).on(found[-1].layers)


def _once(planner: Planner, problem: Problem) -> Solved:
    layers = problem(planner.choices())
    return Solved(layers, *planner.solve_exactly(layers))


def alternatives(planner: Planner) -> list[Assignment]:
    """Exact solutions of other problems, which may be faster in the network where times of
    single layers mislead: ranks on one quantum, whose layouts fit each other, and MACs saved
    in place of seconds."""
    problems: list[Problem] = [partial(_on_quantum, quantum) for quantum in FINALIST_QUANTA]
    problems.append(partial(_by_macs, planner))
    found = []
    for problem in problems:
        layers = planner.choices()
        if problem(layers) != layers:
            with suppress(GoalNotReached):  # so few choices may break other limits
                found.append(as_measured(layers, _probed(planner, problem).assignment))
    return found


def _on_quantum(quantum: int, layers: Layers) -> Layers:
    return [on_quantum(layer, quantum) for layer in layers]


def _by_macs(planner: Planner, layers: Layers) -> Layers:
    return [_saving_macs(planner, layer) for layer in layers]


def _saving_macs(planner: Planner, layer: LayerChoices) -> LayerChoices:
    """Savings in giga-MACs."""
    spec = planner.assembly.specs[layer.name]
    original, *others = layer.choices
    if spec is None:
        return layer
    saved = [(spec.macs - lower(spec, c.decomposition).macs) / 1e9 for c in others]
    pairs = zip(others, saved, strict=True)
    return replace(layer, choices=(original, *(replace(c, saving_s=s) for c, s in pairs if s > 0)))
