"""One session on a executor of numbers: rounds, order, failures, what is released."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.backends.base import ChainWorkload, Workload
from rankwise.errors import MeasurementError
from rankwise.ops.chain import Chain
from rankwise.profiler.session import (
    RoundDone,
    SessionEnded,
    WorkloadFailed,
    loops_for,
    primary_clock,
    run_session,
)
from rankwise.records import Effort, LayerSpec, PairSummary

CHAIN = Chain((LayerSpec("linear", 4, 4, (4,)),))
EFFORT = Effort(min_rounds=4, max_rounds=9, round_s=0.01)


class Numbers:
    """An executor whose times are numbers; `trouble` may raise for (what, key, how often)."""

    def __init__(
        self,
        seconds: Mapping[str, float],
        trouble: Callable[[str, str, int], None] = lambda *_: None,
    ) -> None:
        self.seconds, self.trouble = seconds, trouble
        self.alive: set[str] = set()
        self.calls: list[tuple[str, int]] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def _count(self, what: str, key: str) -> None:
        self.counts[what, key] += 1
        self.trouble(what, key, self.counts[what, key])

    def prepare(self, workload: Workload) -> None:
        self._count("prepare", workload.key)
        self.alive.add(workload.key)

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        assert key in self.alive
        self._count("run", key)
        self.calls.append((key, loops))
        return {"host": self.seconds[key], "device": self.seconds[key] / 2}

    def release(self, key: str) -> None:
        self.alive.discard(key)

    def renew(self) -> None:
        self.close()

    def close(self) -> None:
        self.alive.clear()


def work(key: str) -> ChainWorkload:
    return ChainWorkload(key, CHAIN)


def events_of(executor: Numbers, effort: Effort = EFFORT, seed: int = 0) -> list[object]:
    original, *others = map(work, executor.seconds)
    return list(run_session(executor, original, others, effort, seed))


def summaries_of(events: list[object]) -> dict[str, PairSummary]:
    assert isinstance(events[-1], SessionEnded)
    assert not any(isinstance(event, SessionEnded) for event in events[:-1])
    return events[-1].summaries


def failing(what: str, key: str, stage: str = "run", after: int = 0) -> Callable[..., None]:
    def trouble(now: str, of: str, times: int) -> None:
        if (now, of) == (what, key) and times > after:
            raise MeasurementError("no luck", stage)

    return trouble


def test_planted_ratios_come_back() -> None:
    executor = Numbers({"o": 4e-3, "a": 2e-3, "b": 5e-3})
    found = summaries_of(events_of(executor))
    assert found["a"].original_s / found["a"].candidate_s == pytest.approx(2)
    assert found["b"].saving_s == pytest.approx(-0.5e-3)  # on the device's clock
    assert not executor.alive


def test_a_round_times_each_once_on_each_clock_in_changing_order() -> None:
    executor = Numbers({"o": 4e-3, "a": 3.99e-3, "b": 4.01e-3, "c": 4e-3})
    rounds = [e.samples for e in events_of(executor) if isinstance(e, RoundDone)]
    assert len(rounds) >= EFFORT.min_rounds
    orders = set()
    for number, samples in enumerate(rounds):
        assert {s.round for s in samples} == {number}
        once = Counter((s.workload_key, s.clock) for s in samples)
        assert once == Counter((key, clock) for key in "oabc" for clock in ("host", "device"))
        orders.add(tuple(s.workload_key for s in samples if s.clock == "host"))
    assert len(orders) > 1


def test_same_seed_same_samples() -> None:
    numbers = {"o": 4e-3, "a": 3e-3, "b": 2e-3}
    assert events_of(Numbers(numbers), seed=5) == events_of(Numbers(numbers), seed=5)


def test_loops_are_chosen_once_for_each_workload() -> None:
    executor = Numbers({"o": 1e-3, "slow": 1.0})
    events = events_of(executor)
    loops = {
        (s.workload_key, s.loops) for e in events if isinstance(e, RoundDone) for s in e.samples
    }
    assert loops == {("o", 20), ("slow", 1)}  # the device's clock says 0.5 ms


def test_a_decided_candidate_leaves_the_rounds() -> None:
    wobble = iter(range(10**6))

    class Noisy(Numbers):
        def run(self, key: str, loops: int) -> Mapping[str, float]:
            factor = 1 + 0.2 * (next(wobble) % 3) if key == "noisy" else 1
            return {"host": super().run(key, loops)["host"] * factor}

    executor = Noisy({"o": 4e-3, "clear": 1e-3, "noisy": 4e-3})
    effort = Effort(min_rounds=6, max_rounds=20, interval=0.015)
    events = events_of(executor, effort)
    found = summaries_of(events)
    assert found["clear"].rounds == 6
    assert found["noisy"].rounds > 6
    last = [e for e in events if isinstance(e, RoundDone)][-1]
    assert {s.workload_key for s in last.samples} == {"o", "noisy"}


@pytest.mark.parametrize(("what", "after"), [("prepare", 0), ("run", 0), ("run", 1), ("run", 4)])
def test_a_failing_candidate_leaves_and_the_others_go_on(what: str, after: int) -> None:
    executor = Numbers({"o": 4e-3, "bad": 3e-3, "good": 2e-3}, failing(what, "bad", "crash", after))
    events = events_of(executor)
    failures = [e.failure for e in events if isinstance(e, WorkloadFailed)]
    assert [(f.workload_key, f.stage, f.reason) for f in failures] == [("bad", "crash", "no luck")]
    assert set(summaries_of(events)) == {"good"}
    assert not executor.alive
    kept = [event.samples for event in events if isinstance(event, RoundDone)]
    assert [samples[0].round for samples in kept] == list(range(len(kept)))


@pytest.mark.parametrize(("what", "after"), [("prepare", 0), ("run", 0), ("run", 5)])
def test_a_failing_original_fails_all_candidates(what: str, after: int) -> None:
    executor = Numbers({"o": 4e-3, "a": 3e-3, "b": 2e-3}, failing(what, "o", "timeout", after))
    events = events_of(executor)
    failures = [e.failure for e in events if isinstance(e, WorkloadFailed)]
    assert {f.workload_key for f in failures} == {"a", "b"}
    assert all(f.stage == "timeout" and "original" in f.reason for f in failures)
    assert summaries_of(events) == {}
    assert not executor.alive


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clock_without_sense_is_a_failure(seconds: float) -> None:
    events = events_of(Numbers({"o": 4e-3, "bad": seconds, "good": 2e-3}))
    assert [e.failure.stage for e in events if isinstance(e, WorkloadFailed)] == ["run"]
    assert set(summaries_of(events)) == {"good"}


def test_leaving_early_releases_everything() -> None:
    executor = Numbers({"o": 4e-3, "a": 4e-3})
    session = run_session(executor, work("o"), [work("a")], EFFORT)
    assert isinstance(next(session), RoundDone)
    assert executor.alive == {"o", "a"}
    session.close()
    assert not executor.alive


def test_no_candidates_is_no_session() -> None:
    assert events_of(Numbers({"o": 1e-3})) == [SessionEnded({})]


@given(st.floats(1e-4, 1), st.floats(1e-9, 100))
def test_loops_last_about_a_round(round_s: float, seconds: float) -> None:
    loops = loops_for(round_s, seconds)
    assert loops >= 1
    assert loops == 1 or loops * seconds < 2 * round_s + 1e-9


def test_the_device_knows_its_time_best() -> None:
    assert primary_clock({"host": 1, "device": 2}) == "device"
    assert primary_clock({"host": 1, "other": 2}) == "host"
    assert primary_clock({"z": 1, "y": 2}) == "y"


def test_a_disturbed_warm_up_does_not_shorten_the_timings() -> None:
    """One slow warm-up of one of two equal workloads: both are still timed equally long."""
    executor = Numbers({"original": 1e-4, "a": 1e-4})
    undisturbed = executor.run

    def run(key: str, loops: int) -> Mapping[str, float]:
        found = undisturbed(key, loops)
        late = key == "a" and executor.counts["run", "a"] == 2
        return {clock: seconds * (20 if late else 1) for clock, seconds in found.items()}

    executor.run = run  # type: ignore[method-assign]
    list(run_session(executor, work("original"), [work("a")], EFFORT))
    last = dict(executor.calls[-4:])
    assert last["a"] == last["original"] == 200  # of the device's 50 us
