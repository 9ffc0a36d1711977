"""The Ascend adapter on a strict fake of pyACL and atc: it has never run on a device."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rankwise.backends.acl_device import process_of
from rankwise.backends.ascend_acl import AscendAclBackend
from rankwise.backends.base import ChainWorkload, FileWorkload, random_input
from rankwise.backends.contract import CHAINS, BackendContract, require_timings
from rankwise.backends.onnx_dtypes import chain_in
from rankwise.errors import BackendError, MeasurementError
from rankwise.ops.chain import random_weights
from rankwise.ops.reference import reference
from rankwise.profiler.executor import ProcessExecutor
from rankwise.profiler.probe_backends import _family
from rankwise.records import MeasurementPolicy

CHAIN = CHAINS["three links"]
WORKLOAD = ChainWorkload("c", CHAIN)
EVENTS_S = 2e-6
"""What the fake's device needs for the second event of a pair."""


@pytest.fixture
def cann(fake_cann: Any) -> Iterator[Any]:
    """The fake; afterwards the process is finalized, and nothing may be left."""
    yield fake_cann
    finalize()
    fake_cann.assert_clean()


def finalize() -> None:
    if acl := sys.modules.get("acl"):
        process_of(acl).stop()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache of compiled models that tests share, because even a fake atc takes its time."""
    return str(tmp_path_factory.mktemp("om"))


@pytest.fixture
def backend(cann: Any, kept: str) -> AscendAclBackend:
    return AscendAclBackend(cache=kept)


def resolved(backend: AscendAclBackend, **changes: Any) -> MeasurementPolicy:
    return backend.resolve_policy(MeasurementPolicy(**changes))


class TestContract(BackendContract):
    tolerance = 1e-2  # atc computes float32 networks in float16 unless told otherwise

    @pytest.fixture
    def backend(self, cann: Any, kept: str) -> AscendAclBackend:
        return AscendAclBackend(cache=kept)


def test_float32_is_computed_as_such_when_asked(backend: AscendAclBackend) -> None:
    contract = BackendContract()
    exact = resolved(backend, numeric_mode="must_keep_origin_dtype")
    contract.require_function(backend, exact, CHAIN, 1e-5)
    with pytest.raises(AssertionError):
        contract.require_function(backend, resolved(backend), CHAIN, 1e-5)


# Both clocks


@pytest.mark.parametrize("loops", [1, 7])
def test_the_events_read_the_executions(cann: Any, backend: AscendAclBackend, loops: int) -> None:
    runner = backend.prepare(WORKLOAD, resolved(backend))
    seconds = runner.run(loops)
    (model,) = cann.models()
    expected = cann.device_s(model["path"]) + EVENTS_S / loops
    assert seconds["device"] == pytest.approx(expected, abs=40e-9)
    assert seconds["host"] >= expected * 0.999
    assert model["executions"] == 5 + loops
    runner.close()


def test_computing_is_not_timed_and_timing_does_not_depend_on_it(
    backend: AscendAclBackend,
) -> None:
    runner = backend.prepare(WORKLOAD, resolved(backend))
    image = random_input((1, *CHAIN.input_shape), seed=3)
    wanted = reference(CHAIN, random_weights(CHAIN), image)
    for _ in range(2):
        runner.run(2)
        np.testing.assert_allclose(runner.compute([image])[0], wanted, atol=2e-2)
    with pytest.raises(MeasurementError, match="does not fit the input"):
        runner.compute([image[:, :2]])
    runner.close()


# What is here, and what is not


def test_says_what_is_missing(cann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = AscendAclBackend()
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert "atc is not on PATH" in backend.probe()
    monkeypatch.undo()
    assert AscendAclBackend(device="3").probe() == "there is no Ascend device 3, only 1"
    finalize()
    cann.off()
    assert backend.probe() == "the module acl is not here: source CANN's set_env.sh first"


def test_a_missing_library_is_a_reason(cann: Any) -> None:
    cann.configure(**{"import": "missing_library"})
    assert "libascendcl.so" in AscendAclBackend().probe()


def test_an_unknown_chip_is_a_reason(cann: Any) -> None:
    cann.configure(soc="none")
    assert "get_soc_name" in AscendAclBackend().probe()


def test_an_initialisation_that_fails_is_a_reason(cann: Any) -> None:
    cann.configure(faults="acl.init:1=148049")
    assert "INVALID_OPP_PATH" in AscendAclBackend().probe()
    assert AscendAclBackend().probe() == ""


@pytest.mark.parametrize("version", ["8.0.0", "8.5.0"])
def test_the_fingerprint_names_chip_and_versions(cann: Any, version: str) -> None:
    cann.configure(version=version)
    found = AscendAclBackend().fingerprint()
    hardware, software = dict(found.hardware), dict(found.software)
    assert (hardware["chip"], hardware["memory_gib"]) == ("Ascend910B4", "32")
    assert software["cann"] == version


def test_policies(backend: AscendAclBackend) -> None:
    found = resolved(backend, threads=4)
    assert (found.dtype, found.numeric_mode, found.threads) == ("float32", "force_fp16", 0)
    assert backend.rank_quantum(found) == 16
    assert backend.rank_quantum(MeasurementPolicy(dtype="int8")) == 32
    with pytest.raises(BackendError, match="quantized first"):
        resolved(backend, dtype="int8")
    with pytest.raises(BackendError, match="force_fp16"):
        resolved(backend, numeric_mode="ieee")


def test_bfloat16_depends_on_the_chip(cann: Any) -> None:
    cann.configure(soc="Ascend910A")
    with pytest.raises(BackendError, match="Ascend910A has no bfloat16"):
        resolved(AscendAclBackend(), dtype="bfloat16")


# Compiling


@pytest.fixture
def fresh(cann: Any, tmp_path: Path) -> AscendAclBackend:
    """With a cache of its own."""
    return AscendAclBackend(cache=str(tmp_path / "cache"), compile_timeout="20")


def words(run: dict[str, Any]) -> set[str]:
    return set(run["argv"])


def test_inputs_and_outputs_are_float16_where_that_is_asked(
    cann: Any, fresh: AscendAclBackend
) -> None:
    """Otherwise casts would be compiled in and timed."""
    seconds = {}
    for dtype in ("float32", "float16"):
        runner = fresh.prepare(WORKLOAD, resolved(fresh, dtype=dtype))
        seconds[dtype] = runner.run(1)["device"]
        runner.close()
    single, half = cann.atc_runs()
    assert {"--precision_mode=force_fp16", "--framework=5"} <= words(single) & words(half)
    assert {"--input_fp16_nodes=input", "--output_type=FP16"} <= words(half) - words(single)
    assert seconds["float16"] < seconds["float32"]


def test_compiled_once_for_each_model_chip_version_and_flags(
    cann: Any, fresh: AscendAclBackend, tmp_path: Path
) -> None:
    for _ in range(2):
        fresh.prepare(WORKLOAD, resolved(fresh)).close()
    assert len(cann.atc_runs()) == 1
    fresh.prepare(WORKLOAD, resolved(fresh, batch=2)).close()
    fresh.prepare(WORKLOAD, resolved(fresh, numeric_mode="cube_fp16in_fp32out")).close()
    assert len(cann.atc_runs()) == 3
    for number, setting in enumerate([{"soc": "Ascend310P3"}, {"version": "8.1.0"}], start=4):
        cann.configure(**setting)
        other = AscendAclBackend(cache=str(tmp_path / "cache"))
        assert other.compile_ahead([WORKLOAD], resolved(other), None) == {"c": ""}
        assert len(cann.atc_runs()) == number


def test_a_name_with_the_system_in_it(cann: Any, fresh: AscendAclBackend) -> None:
    cann.configure(om_name="os_arch")
    require_timings(runner := fresh.prepare(WORKLOAD, resolved(fresh)))
    runner.close()


def test_nothing_is_left_in_the_working_folder(fresh: AscendAclBackend, tmp_path: Path) -> None:
    fresh.prepare(WORKLOAD, resolved(fresh)).close()
    assert {path.name for path in Path.cwd().iterdir()} <= {"cache", "fake_cann"}
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".json", ".om"]


@pytest.mark.parametrize(
    ("fault", "stage", "said"),
    [
        ("E10001", "convert", "E10001"),
        ("no_om", "convert", "atc refused it"),
        ("truncated_om", "prepare", "load_from_file failed with"),
    ],
)
def test_a_compilation_that_fails_is_tried_again_next_time(
    cann: Any, fresh: AscendAclBackend, fault: str, stage: str, said: str
) -> None:
    cann.configure(faults=f"atc:1={fault}")
    with pytest.raises(MeasurementError, match=said) as caught:
        fresh.prepare(WORKLOAD, resolved(fresh))
    assert caught.value.stage == stage and "\n" not in str(caught.value)
    require_timings(runner := fresh.prepare(WORKLOAD, resolved(fresh)))
    runner.close()


def test_a_compilation_that_hangs_is_ended(cann: Any, tmp_path: Path) -> None:
    cann.configure(faults="atc:1=hang")
    backend = AscendAclBackend(cache=str(tmp_path / "cache"), compile_timeout="3")
    with pytest.raises(MeasurementError, match="atc was ended after 3 s") as caught:
        backend.prepare(WORKLOAD, resolved(backend))
    assert caught.value.stage == "timeout"
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_network_that_does_not_fit_is_refused_before_compiling(
    cann: Any, fresh: AscendAclBackend, tmp_path: Path
) -> None:
    path = tmp_path / "n.onnx"
    onnx.save(chain_in(CHAIN, "float32", 1), path)
    with pytest.raises(MeasurementError, match="does not fit input 'input'"):
        fresh.prepare(FileWorkload("n", path, (1, 5, 9, 8)), resolved(fresh))
    assert cann.atc_runs() == []


def test_a_symbolic_batch_and_an_awkward_name(fresh: AscendAclBackend, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x:0", TensorProto.FLOAT, ["batch", 4])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x:0"], ["y"])], "n", [value], [output])
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "n.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    runner = fresh.prepare(FileWorkload("n", path, (3, 4)), resolved(fresh))
    images = np.float32([[-1, 0, 1, 2]] * 3)
    assert np.array_equal(runner.compute([images])[0], np.maximum(images, 0))
    runner.close()


# Compiling ahead

SEVERAL = [ChainWorkload(name, CHAINS[name]) for name in ("linear", "dilation", "groups")]


def test_ahead_several_at_once(cann: Any, tmp_path: Path) -> None:
    cann.configure(atc_s="1")
    backend = AscendAclBackend(cache=str(tmp_path / "cache"), jobs="3")
    started = time.monotonic()
    assert backend.compile_ahead(SEVERAL, resolved(backend), None) == {
        "linear": "",
        "dilation": "",
        "groups": "",
    }
    elapsed, runs = time.monotonic() - started, cann.atc_runs()
    assert elapsed < sum(run["seconds"] for run in runs), "one after the other"
    for workload in SEVERAL:
        backend.prepare(workload, resolved(backend)).close()
    assert len(cann.atc_runs()) == len(SEVERAL), "prepared from what was compiled"


def test_ahead_a_budget_is_spent_in_order(cann: Any, tmp_path: Path) -> None:
    cann.configure(faults="atc:2=hang")
    backend = AscendAclBackend(cache=str(tmp_path / "cache"), jobs="1")
    found = backend.compile_ahead(SEVERAL, resolved(backend), 8.0)
    assert found == {"linear": ""}, "what ran into the budget is no failure"
    assert backend.compile_ahead(SEVERAL, resolved(backend), 0.0) == {"linear": ""}


def test_ahead_a_failure_has_its_reason_and_stops_nobody(
    cann: Any, fresh: AscendAclBackend
) -> None:
    fresh._jobs = 1
    cann.configure(faults="atc:2=E10001")
    found = fresh.compile_ahead(SEVERAL, resolved(fresh), None)
    assert found["linear"] == found["groups"] == "" and "E10001" in found["dilation"]


def test_ahead_an_interruption_ends_what_runs(
    cann: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cann.configure(faults="atc:*=hang")
    backend = AscendAclBackend(cache=str(tmp_path / "cache"), jobs="2")
    compiler = backend._compiler()
    monkeypatch.setattr(backend, "_compiler", lambda: compiler)

    def interrupt() -> None:
        while len(compiler._running) < 2:
            time.sleep(0.05)
        compiler._end_all()

    helper_thread = threading.Thread(target=interrupt)
    helper_thread.start()
    found = backend.compile_ahead(SEVERAL[:2], resolved(backend), 60.0)
    helper_thread.join()
    assert all(found.values()) and not compiler._running


# Lives


def test_somebody_else_has_initialised_and_finalizes(cann: Any, kept: str) -> None:
    acl = cann.acl
    assert acl.init() == 0
    backend = AscendAclBackend(cache=kept)
    require_timings(runner := backend.prepare(WORKLOAD, resolved(backend)))
    runner.close()
    finalize()
    assert cann.calls("acl.finalize") == 0
    assert acl.finalize() == 0


def test_finalizing_gives_back_what_is_still_held(cann: Any, backend: AscendAclBackend) -> None:
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
def test_in_a_child_process(cann: Any, kept: str) -> None:
    """As a sweep runs it; a lost device takes the child, and the next request a new one."""
    backend = AscendAclBackend(cache=kept)
    policy = resolved(backend)
    backend.compile_ahead([WORKLOAD, *SEVERAL], policy, None)
    cann.configure(faults="acl.mdl.execute_async:20=507015")  # counted in each process
    executor = ProcessExecutor(f"ascend-acl:cache={kept}", policy, 60.0)
    for workload in SEVERAL[:2]:
        executor.prepare(workload)
    assert set(executor.run("linear", 2)) == {"device", "host"}
    with pytest.raises(MeasurementError, match="507015") as caught:
        executor.run("linear", 20)
    assert caught.value.stage == "crash"
    cann.configure(faults=None)
    assert set(executor.run("dilation", 2)) == {"device", "host"}
    executor.close()


def test_is_listed_as_usable(cann: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "cache"))
    (found,) = _family("ascend", ["ascend-acl"], 60.0)
    assert found.reason == "" and found.fingerprint is not None
    assert dict(found.fingerprint.hardware)["chip"] == "Ascend910B4"
