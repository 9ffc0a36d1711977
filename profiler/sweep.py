"""Sweeps: the sessions of many layers and several preparations, and their order.

Preparations are the outer loop: those of one layer lie far apart in time, in memory and in
processes. A verdict rests on several, so a candidate that one session has decided still gets the
others. Within a preparation the layers come by priority, so that a time limit cuts off what
decides least; while time that was given is left, undecided candidates get extra preparations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .. import stats
from ..backends.base import ChainWorkload
from ..errors import LayerError, PlanError
from ..lowrank import lower
from ..records import ORIGINAL, Candidate, Decomposition, Effort, Failure, LayerSpec, PairSummary
from .executor import Executor
from .scheduling import in_order, undecided, worth
from .session import SessionEnded, SessionEvent, SessionStarted, WorkloadFailed, run_session

MAX_AT_ONCE = 6
"""Most candidates in one session, beside the original: few large workloads live at once."""


@dataclass(frozen=True, slots=True)
class LayerTask:
    """Candidates of one spec to measure, and how many sessions the spec has behind it.

    `weight`: the seconds that a network spends in such layers, in any unit that all tasks of
    a sweep share. `input_gradient`: see `ChainWorkload`.
    """

    spec: LayerSpec
    decompositions: tuple[Decomposition, ...]
    sessions_done: int = 0
    weight: float = 1.0
    input_gradient: bool = True


def planned_sessions(tasks: Sequence[LayerTask], effort: Effort) -> int:
    """Return how many sessions a sweep starts if nothing fails and time does not run out."""
    return sum(
        _parts(len(task.decompositions)) * max(effort.preparations - task.sessions_done, 0)
        for task in tasks
    )


def sweep(
    tasks: Sequence[LayerTask],
    executor: Executor,
    effort: Effort,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
    extra_preparations: bool = True,
) -> Generator[SessionEvent, None, None]:
    """Run all sessions; the caller keeps each event as it comes.

    A candidate that failed is not tried again. No session starts after `effort.max_time_s`;
    where that leaves time and `extra_preparations` allows it, undecided candidates get up to
    `stats.MAX_PREPARATIONS`.
    The executor is closed at the end, also when the generator is left early (Ctrl-C, `close()`).
    """
    work = _Sweep(tasks, executor, effort, seed, clock)
    try:
        for preparation in range(effort.preparations):
            yield from work.preparation(preparation)
        if extra_preparations and effort.max_time_s is not None:
            for preparation in range(effort.preparations, stats.MAX_PREPARATIONS):
                work.keep_undecided()
                yield from work.preparation(preparation)
    finally:
        executor.close()


@dataclass
class _Sweep:
    tasks: Sequence[LayerTask]
    executor: Executor
    effort: Effort
    seed: int
    clock: Callable[[], float]
    failed: set[str] = field(default_factory=set)
    known: dict[str, list[PairSummary]] = field(default_factory=dict)
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.effort.max_time_s is not None:
            self.deadline = self.clock() + self.effort.max_time_s

    def preparation(self, number: int) -> Generator[SessionEvent, None, None]:
        """Run one session of every candidate that has no more than `number` behind it."""
        due = {n: t for n, t in enumerate(self.tasks) if t.sessions_done <= number}
        if number and due:
            self.executor.renew()
        for index in in_order({n: self._worth(task) for n, task in due.items()}):
            rng = np.random.default_rng([self.seed, number, index])
            for part in _split(self._candidates(due[index]), rng):
                if self.deadline is not None and self.clock() >= self.deadline:
                    return
                yield from self._session(due[index], part, rng)

    def keep_undecided(self) -> None:
        """Drop what extra preparations cannot decide. A candidate of which this sweep has timed
        nothing was complete before it."""
        self.tasks = [
            replace(task, decompositions=tuple(c.decomposition for c in left))
            for task in self.tasks
            if (left := [c for c in self._candidates(task) if undecided(self._known(c))])
        ]

    def _worth(self, task: LayerTask) -> float:
        return worth(task.weight, map(self._known, self._candidates(task)))

    def _known(self, candidate: Candidate) -> list[PairSummary]:
        return self.known.get(candidate.key, [])

    def _candidates(self, task: LayerTask) -> list[Candidate]:
        candidates = (Candidate(task.spec, d) for d in task.decompositions if not d.is_original)
        return [candidate for candidate in candidates if candidate.key not in self.failed]

    def _session(
        self, task: LayerTask, candidates: list[Candidate], rng: np.random.Generator
    ) -> Generator[SessionEvent, None, None]:
        original = Candidate(task.spec, ORIGINAL)
        yield SessionStarted(original, tuple(candidates))
        workloads = []
        for candidate in candidates:
            workload = chain_workload(candidate, task.input_gradient)
            if isinstance(workload, Failure):
                self.failed.add(candidate.key)
                yield WorkloadFailed(workload)
            else:
                workloads.append(workload)
        chain = lower(task.spec, ORIGINAL)
        first = ChainWorkload(original.key, chain, task.input_gradient)
        seed = int(rng.integers(2**32))
        for event in run_session(self.executor, first, workloads, self.effort, seed):
            if isinstance(event, WorkloadFailed):
                self.failed.add(event.failure.workload_key)
            elif isinstance(event, SessionEnded):
                for key, summary in event.summaries.items():
                    self.known.setdefault(key, []).append(summary)
            yield event


def _parts(candidates: int) -> int:
    return -(-candidates // MAX_AT_ONCE)


def _split(candidates: list[Candidate], rng: np.random.Generator) -> list[list[Candidate]]:
    """Return parts of about equal size, drawn anew for each preparation."""
    shuffled = [candidates[index] for index in rng.permutation(len(candidates))]
    parts = _parts(len(shuffled))
    return [shuffled[part::parts] for part in range(parts)]


def chain_workload(candidate: Candidate, input_gradient: bool = True) -> ChainWorkload | Failure:
    """Return the candidate's chain to time, or why it cannot be written as one."""
    try:
        chain = lower(candidate.spec, candidate.decomposition)
        floats = ((0, len(chain.links)),) if candidate.decomposition.precision else ()
        return ChainWorkload(candidate.key, chain, input_gradient, floats)
    except (LayerError, PlanError) as error:
        return Failure(candidate.key, "convert", str(error))
