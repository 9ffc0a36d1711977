"""Compiling before measuring, in an order that suits a short budget.

First come the original and one candidate of each kind of every layer, layers in which the network
spends most before others: a session needs the original, and the middle of a kind's ranks says most
about the kind. Then, kind by kind, come the ranks that halve what is still unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from ..backends.base import Backend, ChainWorkload, CompilesAhead
from ..records import ORIGINAL, Candidate, Decomposition, Failure, MeasurementPolicy
from .sweep import LayerTask, chain_workload


@dataclass(frozen=True, slots=True)
class Compiled:
    """Tasks that can be measured now, what failed, and how many candidates the budget left out."""

    tasks: list[LayerTask]
    failures: list[tuple[Candidate, Failure]]
    left: int


def compile_tasks(
    backend: Backend, tasks: Sequence[LayerTask], policy: MeasurementPolicy, budget_s: float | None
) -> Compiled:
    """Compile what the tasks need, if the backend compiles before it measures."""
    if not isinstance(backend, CompilesAhead):
        return Compiled(list(tasks), [], 0)
    ordered = compile_order(tasks)
    lowered = [chain_workload(one) for one in ordered]
    workloads = [one for one in lowered if isinstance(one, ChainWorkload)]
    # What cannot be lowered counts as compiled: the session says why it cannot be measured.
    reasons = {one.workload_key: "" for one in lowered if isinstance(one, Failure)}
    reasons |= backend.compile_ahead(workloads, policy, budget_s)
    ready = [_ready(task, reasons) for task in tasks]
    failures = [
        (one, Failure(one.key, "convert", reason))
        for one in ordered
        if (reason := _failure(one, reasons)) and not one.decomposition.is_original
    ]
    wanted = sum(len(task.decompositions) for task in tasks)
    kept = [task for task in ready if task.decompositions]
    left = wanted - sum(len(task.decompositions) for task in kept) - len(failures)
    return Compiled(kept, failures, left)


def compile_order(tasks: Sequence[LayerTask]) -> list[Candidate]:
    """Return every candidate and original once, the most wanted first."""
    heavy = sorted(tasks, key=lambda task: -task.weight)
    levels = zip_longest(*map(_levels, heavy), fillvalue=())
    return list(dict.fromkeys(chain.from_iterable(chain.from_iterable(levels))))


def _levels(task: LayerTask) -> list[tuple[Candidate, ...]]:
    """Return the original and each kind's middle; then each kind's next one, and so on."""
    kinds: dict[str, list[Candidate]] = {}
    for decomposition in task.decompositions:
        if not decomposition.is_original:
            candidate = Candidate(task.spec, decomposition)
            kinds.setdefault(decomposition.kind, []).append(candidate)
    levels = [tuple(filter(None, level)) for level in zip_longest(*map(halving, kinds.values()))]
    return [(Candidate(task.spec, ORIGINAL), *(levels[0] if levels else ())), *levels[1:]]


def halving(ones: Sequence[Candidate]) -> list[Candidate]:
    """Return the middle, then the middles of what lies on both sides of it, and so on."""
    ordered, parts = [], [ones]
    while parts:
        ordered += [part[len(part) // 2] for part in parts]
        halves = ((part[: len(part) // 2], part[len(part) // 2 + 1 :]) for part in parts)
        parts = [half for pair in halves for half in pair if half]
    return ordered


def _ready(task: LayerTask, reasons: Mapping[str, str]) -> LayerTask:
    """Return the task with what is compiled; without the original there is nothing to measure."""

    def compiled(decomposition: Decomposition) -> bool:
        return reasons.get(Candidate(task.spec, decomposition).key) == ""

    kept = tuple(d for d in task.decompositions if compiled(d)) if compiled(ORIGINAL) else ()
    return replace(task, decompositions=kept)


def _failure(one: Candidate, reasons: Mapping[str, str]) -> str:
    if original := reasons.get(Candidate(one.spec, ORIGINAL).key):
        return f"the original failed: {original}"
    return reasons.get(one.key, "")
