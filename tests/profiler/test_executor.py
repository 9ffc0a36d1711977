"""Executors in this process and in a worker, which may die as it likes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rankwise.backends.base import ChainWorkload, FileWorkload, ModuleWorkload
from rankwise.backends.registry import open_backend
from rankwise.errors import BackendError, MeasurementError
from rankwise.ops.chain import Chain
from rankwise.profiler.affinity import choose_processors, process_affinity
from rankwise.profiler.executor import Executor, LocalExecutor
from rankwise.profiler.memory import allowance
from rankwise.profiler.process_executor import ProcessExecutor, workload_to_json
from rankwise.profiler.session import SessionEnded, WorkloadFailed, run_session
from rankwise.profiler.worker import workload_from_json
from rankwise.profiler.worker_process import worker_environment
from rankwise.records import Effort, LayerSpec, MeasurementPolicy

CHAIN = Chain((LayerSpec("linear", 4, 8, (3, 4)), LayerSpec("linear", 8, 2, (3, 8), bias=False)))
POLICY = MeasurementPolicy()
WORKER = "misbehaving_worker"


def work(key: str) -> ChainWorkload:
    return ChainWorkload(key, CHAIN)


def alive(pid: int) -> bool:
    """Whether a process still runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    """Whether a process ends within reason."""
    for _ in range(200):
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(params=[LocalExecutor, ProcessExecutor])
def fake(request: pytest.FixtureRequest) -> Iterator[Executor]:
    local = request.param is LocalExecutor
    made = (
        LocalExecutor(open_backend("fake"), POLICY)
        if local
        else ProcessExecutor("fake", POLICY, 60)
    )
    with closing(made) as executor:
        yield executor


def test_prepare_run_release(fake: Executor) -> None:
    fake.prepare(work("a"))
    fake.prepare(work("b"))
    here = open_backend("fake").prepare(work("a"), POLICY).run(3)
    assert fake.run("a", 3) == pytest.approx(dict(here))
    fake.release("a")
    fake.release("a")
    assert fake.run("b", 1)
    fake.renew()
    fake.prepare(work("b"))
    assert fake.run("b", 1)
    fake.close()
    fake.close()


def test_a_module_stays_in_its_process() -> None:
    with pytest.raises(BackendError, match="ModuleWorkload"):
        ProcessExecutor("fake", POLICY, 60).prepare(ModuleWorkload("m", object(), (1, 4)))


def test_what_a_backend_does_not_accept_is_refused() -> None:
    backend = open_backend("fake")
    backend.accepts = (ChainWorkload,)
    with pytest.raises(BackendError, match="ModuleWorkload"):
        LocalExecutor(backend, POLICY).prepare(ModuleWorkload("m", object(), (1, 4)))


@pytest.mark.parametrize(
    "workload",
    [
        work("k"),
        ChainWorkload("k", CHAIN, False, ((0, 1),)),
        FileWorkload("k", Path("/x/n.onnx"), (1, 3, 8, 8)),
    ],
)
def test_workloads_cross_as_json(workload: ChainWorkload | FileWorkload) -> None:
    assert workload_from_json(workload_to_json(workload)) == workload


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessExecutor]:
    monkeypatch.syspath_prepend(Path(__file__).parent)  # the worker gets this path, too
    with closing(ProcessExecutor("misbehaving", POLICY, 60, module=WORKER)) as executor:
        yield executor


def prepare_and_run(executor: Executor, key: str) -> None:
    executor.prepare(work(key))
    executor.run(key, 1)


def pid_of(executor: Executor, key: str = "good") -> int:
    return int(executor.run(key, 1)["host"])


def test_one_worker_serves_all(misbehaving: ProcessExecutor) -> None:
    misbehaving.prepare(work("good"))
    misbehaving.prepare(work("other"))
    pid = pid_of(misbehaving)
    assert pid != os.getpid()
    assert pid_of(misbehaving, "other") == pid
    assert misbehaving.run("good", 5)["loops"] == 5
    misbehaving.close()
    assert gone(pid)


@pytest.mark.parametrize("when", ["prepare", "run", "close"])
def test_garbage_on_its_output_does_not_hurt(misbehaving: ProcessExecutor, when: str) -> None:
    key = f"garbage-{when}"
    misbehaving.prepare(work("good"))
    misbehaving.prepare(work(key))
    pid = pid_of(misbehaving)
    assert pid_of(misbehaving, key) == pid
    misbehaving.release(key)
    assert pid_of(misbehaving) == pid


@pytest.mark.parametrize(
    ("what", "reason"), [("crash", "SIGSEGV; it said: about to crash"), ("exit", "status 7")]
)
@pytest.mark.parametrize("when", ["prepare", "run"])
def test_a_crash_is_that_workloads(
    misbehaving: ProcessExecutor, what: str, when: str, reason: str
) -> None:
    key = f"{what}-{when}"
    misbehaving.prepare(work("good"))
    before = pid_of(misbehaving)
    with pytest.raises(MeasurementError, match=reason) as caught:
        prepare_and_run(misbehaving, key)
    assert caught.value.stage == "crash"
    misbehaving.release(key)
    after = pid_of(misbehaving)  # prepared again without being asked
    assert after != before
    assert pid_of(misbehaving) == after


def test_a_hang_ends_with_all_that_it_started(misbehaving: ProcessExecutor) -> None:
    misbehaving.prepare(work("good"))
    misbehaving.prepare(work("hang-run"))
    before = pid_of(misbehaving)
    misbehaving.timeout_s = 2
    worker = misbehaving.worker
    with pytest.raises(MeasurementError, match="no answer within 2 s") as caught:
        misbehaving.run("hang-run", 1)
    assert caught.value.stage == "timeout"
    assert gone(before)
    assert worker is not None
    assert gone(int(worker.printed.split()[-1]))
    misbehaving.timeout_s = 60
    assert pid_of(misbehaving) != before


def test_thirty_gigabytes_are_that_workloads(misbehaving: ProcessExecutor) -> None:
    misbehaving.memory_bytes = 700 * 2**20
    misbehaving.prepare(work("good"))
    before = pid_of(misbehaving)
    misbehaving.prepare(work("bloat-run"))
    with pytest.raises(MeasurementError, match="GiB of memory") as caught:
        misbehaving.run("bloat-run", 1)
    assert caught.value.stage == "crash"
    assert gone(before)
    misbehaving.release("bloat-run")
    assert pid_of(misbehaving) != before


def test_answers_without_times_are_a_failure(misbehaving: ProcessExecutor) -> None:
    misbehaving.prepare(work("nonsense-run"))
    with pytest.raises(MeasurementError):
        misbehaving.run("nonsense-run", 1)
    misbehaving.prepare(work("good"))
    assert pid_of(misbehaving)


def test_a_sweep_survives_all_of_them(
    misbehaving: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One session with every misdeed in it: what behaves is timed to the end, the rest are
    records."""
    # A loaded machine may take seconds to eat so much memory: that is no hanging.
    misbehaving.timeout_s, misbehaving.memory_bytes = 4.0, 400 * 2**20
    bad = ["crash-run", "exit-prepare", "hang-run", "bloat-run", "nonsense-run", "lies-run"]
    fine = ["good", "garbage-run"]
    effort = Effort(min_rounds=4, max_rounds=5)
    monkeypatch.setattr("rankwise.profiler.session.loops_for", lambda *_: 1)
    others = [work(key) for key in (*bad, *fine)]
    events = list(run_session(misbehaving, work("original"), others, effort))
    failed = {e.failure.workload_key: e.failure for e in events if isinstance(e, WorkloadFailed)}
    assert set(failed) == set(bad)
    assert failed["hang-run"].stage == "timeout"
    assert {failed[key].stage for key in ("crash-run", "bloat-run", "exit-prepare")} == {"crash"}
    assert all(failure.reason and "\n" not in failure.reason for failure in failed.values())
    ended = events[-1]
    assert isinstance(ended, SessionEnded)
    assert set(ended.summaries) == set(fine)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_processors_and_priority_are_the_workers_alone() -> None:
    before = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    with closing(ProcessExecutor("fake", POLICY, 60)) as executor:
        executor.prepare(work("a"))
        assert len(executor.process_affinity["processors"]) == 1
        assert executor.process_affinity["nice"] <= before[1]
        assert (os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)) == before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_affinity_is_restored() -> None:
    before = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    with process_affinity(1) as reached:
        assert len(reached["processors"]) == 1  # type: ignore[arg-type]
    assert (os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_each_thread_gets_a_core_first(tmp_path: Path) -> None:
    for number in range(4):  # 0 and 2 are one core, 1 and 3 another
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text("0\n")
        (folder / "core_id").write_text(f"{number % 2}\n")
    assert choose_processors({0, 1, 2, 3}, 2, tmp_path) == {3, 2}
    assert choose_processors({0, 1, 2}, 2, tmp_path) == {2, 1}
    assert choose_processors({0, 1, 2, 3}, 3, tmp_path) == {3, 2, 1}


def test_memory_that_a_container_leaves(tmp_path: Path) -> None:
    assert allowance(tmp_path) > 0
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("500000\n")
    assert allowance(tmp_path) == 400000
    (tmp_path / "memory.max").write_text("max\n")
    assert allowance(tmp_path) > 400000


@pytest.mark.parametrize(
    ("key", "stage"), [("refuse-prepare", "convert"), ("bug-prepare", "prepare")]
)
def test_an_error_in_preparing_leaves_the_worker_alive(
    misbehaving: ProcessExecutor, key: str, stage: str
) -> None:
    misbehaving.prepare(work("good"))
    pid = pid_of(misbehaving)
    with pytest.raises(MeasurementError) as caught:
        misbehaving.prepare(work(key))
    assert caught.value.stage == stage
    assert "\n" not in str(caught.value)
    assert pid_of(misbehaving) == pid


def test_an_error_in_running_is_of_stage_run(misbehaving: ProcessExecutor) -> None:
    misbehaving.prepare(work("bug-run"))
    with pytest.raises(MeasurementError, match="ZeroDivisionError: by") as caught:
        misbehaving.run("bug-run", 1)
    assert caught.value.stage == "run"


@pytest.mark.parametrize(("text", "reason"), [("absent", "no such device"), ("dead", "status 3")])
def test_a_backend_that_cannot_be_used(
    misbehaving: ProcessExecutor, text: str, reason: str
) -> None:
    misbehaving.backend_text = text
    with pytest.raises(BackendError, match=reason):
        misbehaving.prepare(work("good"))


def test_the_worker_dies_with_its_parent() -> None:
    """Killed outright, the parent can clean nothing up."""
    code = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from rankwise.backends.base import ChainWorkload
from rankwise.ops.chain import Chain
from rankwise.profiler.process_executor import ProcessExecutor
from rankwise.records import LayerSpec, MeasurementPolicy
executor = ProcessExecutor("fake", MeasurementPolicy(), 60)
executor.prepare(ChainWorkload("a", Chain((LayerSpec("linear", 4, 8, (4,)),))))
print(executor.worker.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
        assert gone(pid)


def test_threads_reach_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert worker_environment(3)["OMP_NUM_THREADS"] == "3"
    assert worker_environment(0)["OMP_NUM_THREADS"] == "7"
