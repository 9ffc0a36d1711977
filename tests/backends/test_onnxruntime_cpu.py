"""ONNX Runtime on the processor: the contract, its session options, its refusals."""

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from rankwise.backends.base import ChainWorkload, FileWorkload
from rankwise.backends.contract import CHAINS, BackendContract
from rankwise.backends.onnxruntime_cpu import OnnxRuntimeCpuBackend
from rankwise.errors import BackendError, MeasurementError
from rankwise.records import MeasurementPolicy

POLICY = OnnxRuntimeCpuBackend().resolve_policy(MeasurementPolicy())


class TestContract(BackendContract):
    @pytest.fixture
    def backend(self) -> OnnxRuntimeCpuBackend:
        return OnnxRuntimeCpuBackend()


def test_execution_is_the_graph() -> None:
    assert POLICY.execution == "graph"


def test_fingerprint_names_the_version() -> None:
    software = dict(OnnxRuntimeCpuBackend().fingerprint().software)
    assert software == {"onnxruntime": onnxruntime.__version__}


@pytest.mark.parametrize("change", [{"phase": "training"}, {"cache": "cold"}], ids=str)
def test_what_is_not_done_yet(change: dict[str, str]) -> None:
    with pytest.raises(BackendError, match="yet"):
        OnnxRuntimeCpuBackend().resolve_policy(MeasurementPolicy(**change))


def test_idle_threads_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = onnxruntime.InferenceSession

    def spy(model: object, options: onnxruntime.SessionOptions, providers: list[str]) -> object:
        seen.append(options)
        return real(model, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    policy = MeasurementPolicy(threads=2)
    OnnxRuntimeCpuBackend().prepare(ChainWorkload("c", CHAINS["linear"]), policy).close()
    (options,) = seen
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert not options.enable_profiling


def save(path: Path, nodes: list[onnx.NodeProto], inputs: list[str], batch: object = 1) -> Path:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, 4]) for n in inputs]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "network", values, [output])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def test_a_symbolic_batch_takes_the_size_asked(tmp_path: Path) -> None:
    path = save(tmp_path / "n.onnx", [helper.make_node("Relu", ["x"], ["y"])], ["x"], "batch")
    runner = OnnxRuntimeCpuBackend().prepare(FileWorkload("n", path, (3, 4)), POLICY)
    assert runner.run(2)["host"] > 0
    images = np.float32([[-1, 0, 1, 2]] * 3)
    assert np.array_equal(runner.compute([images])[0], np.maximum(images, 0))
    with pytest.raises(MeasurementError) as caught:
        runner.compute([images[:, :2]])
    assert caught.value.stage == "run"


def test_outputs_whose_size_depends_on_the_input(tmp_path: Path) -> None:
    """They are bound after one execution, which tells how large they are."""
    node = helper.make_node("Compress", ["x", "keep"], ["y"])
    keep = helper.make_node("Greater", ["flat", "zero"], ["keep"])
    flat = helper.make_node("Reshape", ["x", "all"], ["flat"])
    zero = helper.make_node("Constant", [], ["zero"], value_float=0.0)
    whole = helper.make_node("Constant", [], ["all"], value_ints=[-1])
    path = save(tmp_path / "n.onnx", [zero, whole, flat, keep, node], ["x"])
    runner = OnnxRuntimeCpuBackend().prepare(FileWorkload("n", path, (1, 4)), POLICY)
    assert runner.run(3)["host"] > 0


def test_a_network_with_two_inputs_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "n.onnx", [helper.make_node("Add", ["a", "b"], ["y"])], ["a", "b"])
    with pytest.raises(MeasurementError, match="a, b") as caught:
        OnnxRuntimeCpuBackend().prepare(FileWorkload("n", path, (1, 4)), POLICY)
    assert caught.value.stage == "prepare"


def test_an_unknown_operator_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("NoSuchThing", ["x"], ["y"])
    path = save(tmp_path / "n.onnx", [node], ["x"])
    with pytest.raises(MeasurementError, match="NoSuchThing") as caught:
        OnnxRuntimeCpuBackend().prepare(FileWorkload("n", path, (1, 4)), POLICY)
    assert caught.value.stage == "prepare"


def test_seconds_are_for_one_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = OnnxRuntimeCpuBackend().prepare(ChainWorkload("c", CHAINS["linear"]), POLICY)
    calls: list[object] = []
    monkeypatch.setattr(runner._session, "run_with_iobinding", calls.append)
    readings = iter([1_000, 7_000])
    monkeypatch.setattr(time, "perf_counter_ns", lambda: next(readings))
    assert runner.run(3) == pytest.approx({"host": 2e-6})
    assert len(calls) == 3
