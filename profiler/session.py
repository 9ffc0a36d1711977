"""One session: one preparation of an original and its candidates, timed in turns.

A round times each of them once, in random order, so that drift and neighbours hit them alike
(the same layer against itself: within 1.1% interleaved, up to 38% off one after the other).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..backends.base import Workload
from ..errors import MeasurementError
from ..records import Candidate, Effort, Failure, FailureStage, PairSummary, Sample
from .executor import Executor, RemoteWorkload
from .stopping import PairRule

MAX_LOOPS = 100_000
WARM_UPS = 4
"""Short timings of each workload before the rounds; none is kept."""
Seed = int | Sequence[int]


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The event before anything is prepared. `candidates` are without the original."""

    original: Candidate
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class RoundDone:
    """All samples of one round: each workload still in the session, on each of its clocks."""

    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class WorkloadFailed:
    """The event that a workload has left the session; the others go on."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The last event. `summaries` has, by key, every candidate that was timed in enough rounds."""

    summaries: dict[str, PairSummary]


SessionEvent = SessionStarted | RoundDone | WorkloadFailed | SessionEnded


def primary_clock(clocks: Mapping[str, object]) -> str:
    """Return the clock that counts: the device's own where there is one, else the host's."""
    return next((name for name in ("device", "host") if name in clocks), min(clocks))


def run_session(
    executor: Executor,
    original: Workload | RemoteWorkload,
    candidates: Sequence[Workload | RemoteWorkload],
    effort: Effort,
    seed: Seed = 0,
) -> Generator[RoundDone | WorkloadFailed | SessionEnded, None, None]:
    """Prepare, warm up and time until every candidate's rule has stopped.

    A candidate that fails is reported and leaves; if the original fails, all candidates fail
    with its reason. `SessionEnded` is the last event in any case. All workloads are released
    at the end, also when the generator is closed early.
    """
    session = _Session(executor, effort, np.random.default_rng(seed))
    try:
        yield from session.prepare(original, candidates)
        while session.wanted:
            yield from session.round()
        yield SessionEnded(session.summaries())
    finally:
        session.release()


@dataclass
class _Session:
    executor: Executor
    effort: Effort
    rng: np.random.Generator
    original: str = ""
    rounds: int = 0
    loops: dict[str, int] = field(default_factory=dict)
    rules: dict[str, PairRule] = field(default_factory=dict)
    prepared: set[str] = field(default_factory=set)

    @property
    def wanted(self) -> list[str]:
        """The candidates that need another round."""
        return [key for key, rule in self.rules.items() if not rule.stopped]

    def prepare(
        self, original: Workload | RemoteWorkload, candidates: Sequence[Workload | RemoteWorkload]
    ) -> Generator[WorkloadFailed, None, None]:
        self.original = original.key
        self.rules = {candidate.key: PairRule(self.effort) for candidate in candidates}
        for workload in (original, *candidates):
            if self.rules:  # nothing is left once the original has failed
                yield from self._ready(workload)

    def _ready(self, workload: Workload | RemoteWorkload) -> Generator[WorkloadFailed, None, None]:
        try:
            self.prepared.add(workload.key)
            self.executor.prepare(workload)
            self.loops[workload.key] = self._warm_up(workload.key)
        except MeasurementError as error:
            yield from self._fail(workload.key, error)

    def _warm_up(self, key: str) -> int:
        """Return the loops that make one timing last `round_s`, from the fastest of a few short
        ones: on a busy machine a timing that was disturbed would give fewer loops, and short
        timings slip between the disturbances that long ones meet. (Two preparations of one
        layer then differed by 30% and more in all rounds of a session.) The first execution
        (allocation, caches, lazy set-up) is only a first guess; no warm-up timing is kept."""
        loops, fastest = 1, math.inf
        for _ in range(WARM_UPS):
            seconds = self._run(key, loops)
            fastest = min(fastest, seconds[primary_clock(seconds)])
            loops = loops_for(self.effort.round_s / WARM_UPS, fastest)
        return loops_for(self.effort.round_s, fastest)

    def round(self) -> Generator[RoundDone | WorkloadFailed, None, None]:
        """Time everything once. If one fails, the round is not kept: a device that had to be
        prepared again in the middle of it is not the one of the round's beginning."""
        keys = [self.original, *self.wanted]
        times: dict[str, Mapping[str, float]] = {}
        for index in self.rng.permutation(len(keys)):
            key = keys[index]
            try:
                times[key] = self._run(key, self.loops[key])
            except MeasurementError as error:
                yield from self._fail(key, error)
                return
        yield RoundDone(tuple(self._samples(times)))
        self._feed(times)
        self.rounds += 1

    def _run(self, key: str, loops: int) -> Mapping[str, float]:
        seconds = self.executor.run(key, loops)
        if not seconds or not all(math.isfinite(s) and s > 0 for s in seconds.values()):
            raise MeasurementError(f"the clocks gave {dict(seconds)} seconds", "run")
        return seconds

    def _samples(self, times: Mapping[str, Mapping[str, float]]) -> Generator[Sample, None, None]:
        for key, clocks in times.items():
            for clock, seconds in clocks.items():
                yield Sample(self.rounds, key, clock, seconds, self.loops[key])

    def _feed(self, times: Mapping[str, Mapping[str, float]]) -> None:
        clock = primary_clock(times[self.original])
        for key in self.wanted:
            self.rules[key].feed(times[self.original][clock], times[key][clock])
            if self.rules[key].stopped:
                self._release(key)

    def _fail(self, key: str, error: MeasurementError) -> Generator[WorkloadFailed, None, None]:
        stage: FailureStage = error.stage  # type: ignore[assignment]
        if key != self.original:
            del self.rules[key]
            self._release(key)
            yield WorkloadFailed(Failure(key, stage, str(error)))
            return
        reason = f"the original failed: {error}"
        failed, self.rules = list(self.rules), {}
        for candidate in failed:
            yield WorkloadFailed(Failure(candidate, stage, reason))

    def summaries(self) -> dict[str, PairSummary]:
        every = {key: rule.summary for key, rule in self.rules.items()}
        return {key: summary for key, summary in every.items() if summary is not None}

    def _release(self, key: str) -> None:
        if key in self.prepared:
            self.prepared.discard(key)
            self.executor.release(key)

    def release(self) -> None:
        for key in list(self.prepared):
            self._release(key)


def loops_for(round_s: float, seconds: float) -> int:
    """Return how many executions of `seconds` each last about `round_s`; at least one."""
    return min(max(math.ceil(round_s / seconds), 1), MAX_LOOPS)
