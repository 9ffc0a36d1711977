"""Compiling for Ascend by a fake atc: once for each model, ahead of the measuring, refusals."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rankwise.backends.ascend_acl import AscendAclBackend
from rankwise.backends.base import ChainWorkload, FileWorkload
from rankwise.backends.onnx_dtypes import chain_in
from rankwise.errors import MeasurementError
from rankwise.records import MeasurementPolicy
from rankwise.testing.backend_cases import CHAINS, require_timings

CHAIN = CHAINS["three links"]
WORKLOAD = ChainWorkload("c", CHAIN)
SEVERAL = [ChainWorkload(name, CHAINS[name]) for name in ("linear", "dilation", "groups")]


def resolved(backend: AscendAclBackend, **changes: Any) -> MeasurementPolicy:
    return backend.resolve_policy(MeasurementPolicy(**changes))


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> AscendAclBackend:
    """A backend with a cache of its own."""
    request.getfixturevalue("cann")
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
    assert caught.value.stage == stage
    assert "\n" not in str(caught.value)
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


# Ahead of the measuring


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
    assert found["linear"] == found["groups"] == ""
    assert "E10001" in found["dilation"]


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
    assert all(found.values())
    assert not compiler._running
