"""Compiling before measuring, in an order in which a short budget is well spent.

First of every layer the original and one candidate of each kind, the layers with most at stake
before others: a session needs the original, and the middle of a kind's ranks says most about
it. Then, kind by kind, the ranks that halve what is still unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from ..backends.base import Backend, ChainWorkload, CompilesAhead
from ..errors import LayerError, PlanError
from ..lowrank import lower
from ..records import ORIGINAL, Candidate, Decomposition, Failure, MeasurementPolicy
from .sweep import LayerTask


@dataclass(frozen=True, slots=True)
class Compiled:
    """What can be measured now, what failed, and how many candidates the budget left out."""

    tasks: list[LayerTask]
    failures: list[tuple[Candidate, Failure]]
    left: int


def compile_tasks(
    backend: Backend,
    tasks: Sequence[LayerTask],
    policy: MeasurementPolicy,
    budget_s: float | None,
) -> Compiled:
    """Compile what the tasks need, if the backend is one that compiles ahead."""
    if not isinstance(backend, CompilesAhead):
        return Compiled(list(tasks), [], 0)
    ordered = compile_order(tasks)
    made = {one.key: _workload(one) for one in ordered}
    workloads = [workload for workload in made.values() if workload]
    found = {
        **{key: "" for key, workload in made.items() if not workload},
        **backend.compile_ahead(workloads, policy, budget_s),
    }
    ready = [_ready(task, found) for task in tasks]
    failures = [
        (one, Failure(one.key, "convert", reason))
        for one in ordered
        if (reason := _failure(one, found)) and not one.decomposition.is_original
    ]
    wanted = sum(len(task.decompositions) for task in tasks)
    kept = [task for task in ready if task.decompositions]
    left = wanted - sum(len(task.decompositions) for task in kept) - len(failures)
    return Compiled(kept, failures, left)


def compile_order(tasks: Sequence[LayerTask]) -> list[Candidate]:
    """Every candidate and original once, the most wanted first."""
    heavy = sorted(tasks, key=lambda task: -task.weight)
    queues = [[Candidate(task.spec, d) for d in _queue(task)] for task in heavy]
    turns = [_turn(group) for group in queues]
    levels = zip_longest(*turns, fillvalue=())
    return list(dict.fromkeys(chain.from_iterable(chain.from_iterable(levels))))


def _queue(task: LayerTask) -> list[Decomposition]:
    return [ORIGINAL, *(d for d in task.decompositions if not d.is_original)]


def _turn(group: Sequence[Candidate]) -> list[tuple[Candidate, ...]]:
    """The original and each kind's middle; then each kind's next one, and so on."""
    kinds: dict[str, list[Candidate]] = {}
    for one in group[1:]:
        kinds.setdefault(one.decomposition.kind, []).append(one)
    halved = [halving(ones) for ones in kinds.values()]
    levels = [tuple(one for one in level if one) for level in zip_longest(*halved)]
    return [(group[0], *(levels[0] if levels else ())), *levels[1:]]


def halving(ones: Sequence[Candidate]) -> list[Candidate]:
    """The middle, then the middles of what lies on both sides of it, and so on."""
    found, parts = [], [ones]
    while parts:
        for part in parts:
            found.append(part[len(part) // 2])
        halves = ((part[: len(part) // 2], part[len(part) // 2 + 1 :]) for part in parts)
        parts = [half for pair in halves for half in pair if half]
    return found


def _workload(one: Candidate) -> ChainWorkload | None:
    """None for what cannot be written as a chain: the session says why."""
    try:
        return ChainWorkload(one.key, lower(one.spec, one.decomposition))
    except (LayerError, PlanError):
        return None


def _ready(task: LayerTask, found: Mapping[str, str]) -> LayerTask:
    """Without what is not compiled; nothing is left without the original."""
    is_ready = found.get(Candidate(task.spec, ORIGINAL).key) == ""
    kept = tuple(
        d for d in task.decompositions if is_ready and found.get(Candidate(task.spec, d).key) == ""
    )
    return replace(task, decompositions=kept)


def _failure(one: Candidate, found: Mapping[str, str]) -> str:
    if original := found.get(Candidate(one.spec, ORIGINAL).key):
        return f"the original failed: {original}"
    return found.get(one.key, "")
