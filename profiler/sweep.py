"""Many layers, several preparations: which sessions are played, and in which order.

Preparations are the outer loop: those of one layer lie far apart in time, in memory and, in a
child, in processes of their own. A candidate that one session has decided still gets the
others, because a verdict rests on several preparations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from ..backends.base import ChainWorkload
from ..errors import LayerError, PlanError
from ..lowrank import lower
from ..records import ORIGINAL, Candidate, Decomposition, Effort, Failure, LayerSpec
from .bench import Bench
from .session import (
    RoundDone,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    WorkloadFailed,
    run_session,
)

__all__ = [
    "LayerTask",
    "RoundDone",
    "SessionEnded",
    "SessionEvent",
    "SessionStarted",
    "WorkloadFailed",
    "planned_sessions",
    "sweep",
]

MOST_AT_ONCE = 6
"""Candidates in one session, beside the original: few large workloads are alive at once."""


@dataclass(frozen=True, slots=True)
class LayerTask:
    """What is still wanted of one spec, and how many sessions it has behind it."""

    spec: LayerSpec
    decompositions: tuple[Decomposition, ...]
    sessions_done: int = 0


def planned_sessions(tasks: Sequence[LayerTask], effort: Effort) -> int:
    """How many sessions a sweep starts if nothing fails and time does not run out."""
    return sum(
        _parts(len(task.decompositions)) * max(effort.preparations - task.sessions_done, 0)
        for task in tasks
    )


def sweep(
    tasks: Sequence[LayerTask],
    bench: Bench,
    effort: Effort,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[SessionEvent, None, None]:
    """Play all sessions; the caller keeps each event as it comes.

    A candidate that failed is not tried again. No session starts after `effort.max_time_s`.
    The bench is closed at the end, also when the generator is left early (Ctrl-C, `close()`).
    """
    deadline = None if effort.max_time_s is None else clock() + effort.max_time_s
    failed: set[str] = set()
    try:
        for preparation in range(effort.preparations):
            if preparation:
                bench.renew()
            for number, task in enumerate(tasks):
                if task.sessions_done > preparation:
                    continue
                rng = np.random.default_rng([seed, preparation, number])
                for part in _split(_candidates(task, failed), rng):
                    if deadline is not None and clock() >= deadline:
                        return
                    yield from _session(task.spec, part, bench, effort, rng, failed)
    finally:
        bench.close()


def _candidates(task: LayerTask, failed: set[str]) -> list[Candidate]:
    candidates = (Candidate(task.spec, d) for d in task.decompositions if not d.is_original)
    return [candidate for candidate in candidates if candidate.key not in failed]


def _parts(candidates: int) -> int:
    return -(-candidates // MOST_AT_ONCE)


def _split(candidates: list[Candidate], rng: np.random.Generator) -> list[list[Candidate]]:
    """Parts of about equal size, put together anew for each preparation."""
    shuffled = [candidates[index] for index in rng.permutation(len(candidates))]
    parts = _parts(len(shuffled))
    return [shuffled[part::parts] for part in range(parts)]


def _session(
    spec: LayerSpec,
    candidates: list[Candidate],
    bench: Bench,
    effort: Effort,
    rng: np.random.Generator,
    failed: set[str],
) -> Generator[SessionEvent, None, None]:
    original = Candidate(spec, ORIGINAL)
    yield SessionStarted(spec, original, tuple(candidates))
    workloads = []
    for candidate in candidates:
        made = _workload(candidate)
        if isinstance(made, Failure):
            failed.add(candidate.key)
            yield WorkloadFailed(made)
        else:
            workloads.append(made)
    first = ChainWorkload(original.key, lower(spec, ORIGINAL))
    for event in run_session(bench, first, workloads, effort, int(rng.integers(2**32))):
        if isinstance(event, WorkloadFailed):
            failed.add(event.failure.workload_key)
        yield event


def _workload(candidate: Candidate) -> ChainWorkload | Failure:
    try:
        return ChainWorkload(candidate.key, lower(candidate.spec, candidate.decomposition))
    except (LayerError, PlanError) as error:
        return Failure(candidate.key, "convert", str(error))
