"""Whole networks of several inputs as workloads: run by those that can, refused by others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from rankwise.backends.base import Backend, FileWorkload, ModuleWorkload, Workload
from rankwise.backends.registry import open_backend
from rankwise.errors import MeasurementError
from rankwise.ops.made_up import InputSpec
from rankwise.profiler.process_executor import workload_to_json
from rankwise.profiler.worker import workload_from_json
from rankwise.records import MeasurementPolicy

SPECS = (
    InputSpec("ids", (2, 4), "int64", table=9),
    InputSpec("keep", (2, 4, 1), "bool", low=1, high=1),
    InputSpec("scale", (), "float32", batched=False, low=3, high=3),
)
TABLE = np.arange(9 * 5, dtype=np.float32).reshape(9, 5)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.from_numpy(TABLE))
        self.head = nn.Linear(5, 6)

    def forward(self, ids: Tensor, keep: Tensor, scale: Tensor) -> Tensor:
        rows: Tensor = self.head(nn.functional.embedding(ids, self.table))
        return torch.where(keep, rows * scale, 0.0)


def file(path: Path) -> FileWorkload:
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Mul", ["rows", "scale"], ["scaled"]),
        helper.make_node("Where", ["keep", "scaled", "zero"], ["y"]),
    ]
    types = {"int64": TensorProto.INT64, "bool": TensorProto.BOOL, "float32": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(s.name, types[s.dtype], s.shape) for s in SPECS]
    weights = {"table": TABLE, "zero": np.zeros((), np.float32)}
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4, 5])
    graph = helper.make_graph(nodes, "g", inputs[::-1], [output], tensors)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return FileWorkload("n", path, (2, 4), SPECS)


def prepared(backend: Backend, workload: Workload) -> dict[str, float]:
    policy = backend.resolve_policy(MeasurementPolicy(batch=2, context="in_network"))
    runner = backend.prepare(workload, policy)
    try:
        return dict(runner.run(2))
    finally:
        runner.close()


@pytest.mark.parametrize("name", ["onnxruntime-cpu", "openvino-cpu", "fake"])
def test_files_run_whatever_the_order_of_their_inputs(name: str, tmp_path: Path) -> None:
    if name == "openvino-cpu":
        pytest.importorskip("openvino")
    assert min(prepared(open_backend(name), file(tmp_path / "n.onnx")).values()) >= 0


@pytest.mark.parametrize("name", ["torch-cpu", "fake"])
def test_modules_run(name: str) -> None:
    workload = ModuleWorkload("m", Net().eval(), (2, 4), SPECS)
    assert min(prepared(open_backend(name), workload).values()) > 0


def test_modules_are_trained() -> None:
    """Integers get no gradient, and need none."""
    backend = open_backend("torch-cpu")
    asked = MeasurementPolicy(batch=2, context="in_network", phase="training")
    workload = ModuleWorkload("m", Net(), (2, 4), SPECS)
    runner = backend.prepare(workload, backend.resolve_policy(asked))
    assert runner.run(1)["host"] > 0


def test_an_input_that_nothing_is_known_of(tmp_path: Path) -> None:
    path = file(tmp_path / "n.onnx").path
    with pytest.raises(MeasurementError, match="nothing is known of the input 'scale': ids, keep"):
        prepared(open_backend("onnxruntime-cpu"), FileWorkload("n", path, (2, 4), SPECS[:2]))


@pytest.mark.usefixtures("fake_cann")
def test_ascend_runs_one_picture(tmp_path: Path) -> None:
    backend = open_backend("ascend-acl")
    reason = r"runs networks with one float32 input, this one has ids \(int64\), keep \(bool\)"
    with pytest.raises(MeasurementError, match=reason):
        prepared(backend, file(tmp_path / "n.onnx"))


def test_files_cross_to_other_processes(tmp_path: Path) -> None:
    workload = file(tmp_path / "n.onnx")
    assert workload_from_json(workload_to_json(workload)) == workload
