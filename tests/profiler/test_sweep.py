"""Sweeps on the fake backend: planted ratios come back, failures stay records, order holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pytest

from rankwise import stats
from rankwise.backends.base import ChainWorkload, Workload
from rankwise.backends.registry import open_backend
from rankwise.errors import MeasurementError
from rankwise.lowrank import lower
from rankwise.profiler.candidates import default_candidates
from rankwise.profiler.executor import LocalExecutor
from rankwise.profiler.process_executor import ProcessExecutor
from rankwise.profiler.session import RoundDone, SessionEnded, SessionStarted, WorkloadFailed
from rankwise.profiler.sweep import MAX_AT_ONCE, LayerTask, planned_sessions, sweep
from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    Effort,
    LayerSpec,
    MeasurementPolicy,
    PairSummary,
    Verdict,
)

POLICY = MeasurementPolicy()
EFFORT = Effort(min_rounds=4, max_rounds=8, preparations=2)
CONV = LayerSpec("conv2d", 64, 96, (64, 12, 12), (3, 3), padding=(1, 1, 1, 1))
LINEAR = LayerSpec("linear", 256, 128, (256,))


def task(spec: LayerSpec, done: int = 0) -> LayerTask:
    return LayerTask(spec, tuple(default_candidates(spec, None, 8)), done)


TASKS = [task(CONV), task(LINEAR)]


class Watched(LocalExecutor):
    """An executor that knows how many workloads were alive, and fails where it is told to."""

    def __init__(self, bad: Mapping[str, str] | None = None) -> None:
        super().__init__(open_backend("fake:step=16"), POLICY)
        self.bad = bad or {}
        self.most = self.renewed = self.closed = 0
        self.tried: Counter[str] = Counter()

    def prepare(self, workload: Workload) -> None:
        self.tried[workload.key] += 1
        if workload.key in self.bad:
            raise MeasurementError("as told", self.bad[workload.key])
        super().prepare(workload)
        self.most = max(self.most, len(self.runners))

    def renew(self) -> None:
        self.renewed += 1
        super().renew()

    def close(self) -> None:
        self.closed += 1
        super().close()


def keys(layer: LayerTask) -> set[str]:
    return {Candidate(layer.spec, d).key for d in layer.decompositions}


def gathered(events: list[object]) -> dict[str, list[PairSummary]]:
    found: dict[str, list[PairSummary]] = {}
    for event in events:
        if isinstance(event, SessionEnded):
            for key, summary in event.summaries.items():
                found.setdefault(key, []).append(summary)
    return found


def seconds(candidate: Candidate) -> float:
    chain = lower(candidate.spec, candidate.decomposition)
    runner = open_backend("fake:step=16").prepare(ChainWorkload("x", chain), POLICY)
    return runner.run(1)["host"]


def test_planted_ratios_come_back_exactly() -> None:
    found = gathered(list(sweep(TASKS, Watched(), EFFORT)))
    assert set(found) == keys(TASKS[0]) | keys(TASKS[1])
    for layer in TASKS:
        original = seconds(Candidate(layer.spec, ORIGINAL))
        for decomposition in layer.decompositions:
            candidate = Candidate(layer.spec, decomposition)
            summaries = found[candidate.key]
            assert len(summaries) == EFFORT.preparations
            run = stats.combine(summaries)
            assert run.speedup == pytest.approx(original / seconds(candidate))
            assert run.saving_s == pytest.approx(original - seconds(candidate), abs=1e-12)
            assert run.original_latency_s == pytest.approx(original)


def test_sessions_are_well_formed_and_few_workloads_are_alive() -> None:
    executor = Watched()
    events = list(sweep(TASKS, executor, EFFORT))
    starts = [event for event in events if isinstance(event, SessionStarted)]
    assert len(starts) == planned_sessions(TASKS, EFFORT)
    assert executor.most <= MAX_AT_ONCE + 1
    assert executor.renewed == 1
    assert executor.closed
    inside: set[str] | None = None
    for event in events:
        if isinstance(event, SessionStarted):
            assert inside is None
            assert event.original.decomposition == ORIGINAL
            assert 1 <= len(event.candidates) <= MAX_AT_ONCE
            inside = {c.key for c in (event.original, *event.candidates)}
        elif isinstance(event, RoundDone):
            assert inside is not None
            assert {s.workload_key for s in event.samples} <= inside
        elif isinstance(event, SessionEnded):
            inside = None
    assert inside is None


def played(events: Iterable[object]) -> list[LayerSpec]:
    """The specs of the sessions, in order."""
    return [event.original.spec for event in events if isinstance(event, SessionStarted)]


def test_preparations_of_a_layer_lie_apart() -> None:
    specs = played(sweep(TASKS, Watched(), EFFORT))
    runs = [spec for spec, before in zip(specs, [None, *specs], strict=False) if spec != before]
    assert runs == [CONV, LINEAR, CONV, LINEAR]


def test_what_is_done_is_not_done_again() -> None:
    tasks = [task(CONV, done=1), task(LINEAR, done=2)]
    events = list(sweep(tasks, Watched(), EFFORT))
    assert {e.original.spec for e in events if isinstance(e, SessionStarted)} == {CONV}
    assert {len(found) for found in gathered(events).values()} == {1}
    assert len([e for e in events if isinstance(e, SessionStarted)]) == planned_sessions(
        tasks, EFFORT
    )


@pytest.mark.parametrize("stage", ["prepare", "convert", "timeout", "crash"])
def test_a_failure_is_recorded_once_and_the_sweep_goes_on(stage: str) -> None:
    bad = Candidate(CONV, TASKS[0].decompositions[1]).key
    executor = Watched({bad: stage})
    events = list(sweep(TASKS, executor, EFFORT))
    failures = [event.failure for event in events if isinstance(event, WorkloadFailed)]
    assert [(f.workload_key, f.stage, f.reason) for f in failures] == [(bad, stage, "as told")]
    assert executor.tried[bad] == 1
    assert set(gathered(events)) == (keys(TASKS[0]) | keys(TASKS[1])) - {bad}


def test_a_failing_original_takes_its_layer_only() -> None:
    executor = Watched({Candidate(CONV, ORIGINAL).key: "prepare"})
    events = list(sweep(TASKS, executor, EFFORT))
    failures = [event.failure for event in events if isinstance(event, WorkloadFailed)]
    assert {f.workload_key for f in failures} == keys(TASKS[0])
    assert len(failures) == len(keys(TASKS[0]))
    assert set(gathered(events)) == keys(TASKS[1])


def test_an_impossible_decomposition_is_a_failure() -> None:
    wrong = LayerTask(LINEAR, (Decomposition("svd", (10**6,)), Decomposition("svd", (32,))))
    events = list(sweep([wrong], Watched(), EFFORT))
    failures = [event.failure for event in events if isinstance(event, WorkloadFailed)]
    assert [f.stage for f in failures] == ["convert"]
    assert len(gathered(events)) == 1


def test_no_session_starts_after_the_time_is_up() -> None:
    ticks = iter(np.arange(0, 1000, 1.0))
    effort = Effort(min_rounds=4, max_rounds=8, preparations=2, max_time_s=2.5)
    executor = Watched()
    events = list(sweep(TASKS, executor, effort, clock=lambda: float(next(ticks))))
    assert len([e for e in events if isinstance(e, SessionStarted)]) == 2
    assert len([e for e in events if isinstance(e, SessionEnded)]) == 2
    assert executor.closed


def test_leaving_early_closes_the_executor() -> None:
    executor = Watched()
    events = sweep(TASKS, executor, EFFORT)
    while not isinstance(next(events), RoundDone):
        pass
    events.close()
    assert executor.closed
    assert not executor.runners


def test_same_seed_same_events_and_other_seed_other_order() -> None:
    once, again, other = (list(sweep(TASKS, Watched(), EFFORT, seed=seed)) for seed in (3, 3, 4))
    assert once == again
    assert once != other


def test_the_original_is_no_candidate() -> None:
    layer = LayerTask(LINEAR, (ORIGINAL, Decomposition("svd", (32,))))
    assert len(gathered(list(sweep([layer], Watched(), EFFORT)))) == 1


@pytest.mark.parametrize(
    ("mishap", "stage"), [("crash_at=60", "crash"), ("hang_at=150", "timeout"), ("garbage=1", "")]
)
def test_a_worker_that_dies_again_and_again_costs_only_failures(mishap: str, stage: str) -> None:
    events = list(sweep(TASKS, ProcessExecutor(f"fake:{mishap}", POLICY, 1.0), EFFORT))
    failures = [event.failure for event in events if isinstance(event, WorkloadFailed)]
    assert {failure.stage for failure in failures} == ({stage} if stage else set())
    failed = {failure.workload_key for failure in failures}
    assert len(failed) == len(failures)
    assert failed | set(gathered(events)) == keys(TASKS[0]) | keys(TASKS[1])
    starts = [event for event in events if isinstance(event, SessionStarted)]
    ends = [event for event in events if isinstance(event, SessionEnded)]
    assert len(starts) == len(ends)
    complete = {key for key, found in gathered(events).items() if len(found) == 2}
    assert complete | failed == keys(TASKS[0]) | keys(TASKS[1])


def test_heavy_layers_come_first() -> None:
    tasks = [task(CONV), LayerTask(LINEAR, TASKS[1].decompositions, weight=10.0)]
    specs = played(sweep(tasks, Watched(), EFFORT))
    assert specs[0] == LINEAR
    half = len(specs) // 2
    assert CONV not in specs[: specs.index(CONV)]
    assert LINEAR in specs[half:]


def noisy(seed: int) -> LocalExecutor:
    return LocalExecutor(open_backend(f"fake:step=16,jitter=0.2,seed={seed}"), POLICY)


def test_time_that_is_left_goes_to_the_undecided() -> None:
    effort = Effort(min_rounds=4, max_rounds=8, preparations=2, max_time_s=1e6)
    found = gathered(list(sweep(TASKS, noisy(3), effort)))
    planned = {key: stats.combine(summaries[:2]) for key, summaries in found.items()}
    extra_preparations = {key for key, summaries in found.items() if len(summaries) > 2}
    open_ = {
        key
        for key, now in planned.items()
        if stats.verdict(now.speedup_low, now.speedup_high) is Verdict.UNDECIDED
    }
    assert extra_preparations == open_
    assert open_
    assert max(map(len, found.values())) <= stats.MAX_PREPARATIONS
    for arguments in ({"extra_preparations": False}, {}):
        limit = 1e6 if arguments else None
        effort = Effort(min_rounds=4, max_rounds=8, preparations=2, max_time_s=limit)
        again = gathered(list(sweep(TASKS, noisy(3), effort, **arguments)))
        assert {len(summaries) for summaries in again.values()} == {2}
