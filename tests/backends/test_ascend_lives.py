"""How the Ascend adapter lives: who finalizes, what is lost, and what is given back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankwise.backends.ascend_acl import AscendAclBackend
from rankwise.backends.base import ChainWorkload
from rankwise.errors import MeasurementError
from rankwise.profiler.probe_backends import probe_family
from rankwise.profiler.process_executor import ProcessExecutor
from rankwise.records import MeasurementPolicy
from rankwise.testing.backend_cases import CHAINS, require_timings

CHAIN = CHAINS["three links"]
WORKLOAD = ChainWorkload("c", CHAIN)
SEVERAL = [ChainWorkload(name, CHAINS[name]) for name in ("linear", "dilation", "groups")]


def resolved(backend: AscendAclBackend, **changes: Any) -> MeasurementPolicy:
    return backend.resolve_policy(MeasurementPolicy(**changes))


def test_somebody_else_has_initialised_and_finalizes(
    cann: Any, om_cache: str, finalize: Callable[[], None]
) -> None:
    acl = cann.acl
    assert acl.init() == 0
    backend = AscendAclBackend(cache=om_cache)
    require_timings(runner := backend.prepare(WORKLOAD, resolved(backend)))
    runner.close()
    finalize()
    assert cann.calls("acl.finalize") == 0
    assert acl.finalize() == 0


def test_finalizing_gives_back_what_is_still_held(
    cann: Any, backend: AscendAclBackend, finalize: Callable[[], None]
) -> None:
    for workload in SEVERAL:
        backend.prepare(workload, resolved(backend))
    finalize()
    cann.assert_clean()
    assert cann.calls("acl.finalize") == 1


@pytest.mark.parametrize("code", [507015, 507014, 507010])
def test_a_lost_device_is_a_crash_and_comes_back_once_all_is_released(
    cann: Any, backend: AscendAclBackend, code: int
) -> None:
    runners = [backend.prepare(workload, resolved(backend)) for workload in SEVERAL[:2]]
    cann.configure(faults=f"acl.mdl.execute_async:2={code}")
    for runner in runners:  # both have lost it
        with pytest.raises(MeasurementError, match=str(code)) as caught:
            runner.run(4)
        assert caught.value.stage == "crash"
    for runner in runners:
        runner.close()
    require_timings(again := backend.prepare(SEVERAL[0], resolved(backend)))
    again.close()


def test_an_error_of_one_execution_is_a_failure_of_the_run(
    cann: Any, backend: AscendAclBackend
) -> None:
    runner = backend.prepare(WORKLOAD, resolved(backend))
    cann.configure(faults="acl.mdl.execute_async:2=545601")
    with pytest.raises(MeasurementError, match=r"545601 \(EXECUTE_TIMEOUT\)") as caught:
        runner.run(4)
    assert caught.value.stage == "run"
    require_timings(runner)
    runner.close()


def test_memory_that_runs_out_is_given_back(cann: Any, backend: AscendAclBackend) -> None:
    kept_one = backend.prepare(SEVERAL[0], resolved(backend))
    cann.configure(faults="acl.rt.malloc:2=207001")
    with pytest.raises(MeasurementError, match="out of memory") as caught:
        backend.prepare(WORKLOAD, resolved(backend))
    assert caught.value.stage == "prepare"
    require_timings(kept_one)
    kept_one.close()


@pytest.mark.slow
def test_in_a_child_process(cann: Any, om_cache: str) -> None:
    """As a sweep runs it; a lost device takes the child, and the next request a new one."""
    backend = AscendAclBackend(cache=om_cache)
    policy = resolved(backend)
    backend.compile_ahead([WORKLOAD, *SEVERAL], policy, None)
    cann.configure(faults="acl.mdl.execute_async:20=507015")  # counted in each process
    executor = ProcessExecutor(f"ascend-acl:cache={om_cache}", policy, 60.0)
    for workload in SEVERAL[:2]:
        executor.prepare(workload)
    assert set(executor.run("linear", 2)) == {"device", "host"}
    with pytest.raises(MeasurementError, match="507015") as caught:
        executor.run("linear", 20)
    assert caught.value.stage == "crash"
    cann.configure(faults=None)
    assert set(executor.run("dilation", 2)) == {"device", "host"}
    executor.close()


@pytest.mark.usefixtures("cann")
def test_is_listed_as_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "cache"))
    (found,) = probe_family("ascend", ["ascend-acl"], 60.0)
    assert found.reason == ""
    assert found.fingerprint is not None
    assert dict(found.fingerprint.hardware)["chip"] == "Ascend910B4"
