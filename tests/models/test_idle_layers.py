"""Layers that cost nothing, or serve for nothing, are listed with that reason, never replaced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from rankwise.errors import ModelError
from rankwise.models.idle_layers import idle_nodes
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.source import load_network


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """used -> output; unused after used, and one after that; one on a constant picture, one on
    what a constant one gives."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "used", pads=[1] * 4),
        helper.make_node("Conv", ["a", "w"], ["b"], "unused", pads=[1] * 4),
        helper.make_node("Conv", ["b", "w"], ["c"], "unused_too", pads=[1] * 4),
        helper.make_node("Conv", ["picture", "w"], ["d"], "constant", pads=[1] * 4),
        helper.make_node("Relu", ["d"], ["e"], "relu"),
        helper.make_node("Conv", ["e", "w"], ["f"], "constant_too", pads=[1] * 4),
        helper.make_node("Sum", ["a", "f"], ["y"], "sum"),
    ]
    shape = [1, 4, 8, 8]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(floats(4, 4, 3, 3), "w"),
            numpy_helper.from_array(floats(1, 4, 8, 8), "picture"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "idle.onnx")
    return tmp_path / "idle.onnx"


def test_reasons(path: Path) -> None:
    reasons = {use.name: use.reason for use in load_network(str(path)).layers}
    assert list(reasons) == ["used", "unused", "unused_too", "constant", "constant_too"]
    for name, said in (("unused", "no output depends"), ("constant", "its input is constant")):
        assert said in reasons[name]
        assert reasons[f"{name}_too"] == reasons[name]
    assert reasons["used"] == ""


def test_random_numbers_are_no_constants() -> None:
    nodes = [
        helper.make_node("RandomNormal", [], ["noise"], "noise", shape=[1, 4, 8, 8]),
        helper.make_node("Conv", ["noise", "w"], ["y"], "conv"),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6])
    weight = numpy_helper.from_array(floats(4, 4, 3, 3), "w")
    assert idle_nodes(helper.make_graph(nodes, "net", [], [output], [weight])) == {}


def test_the_runtime_computes_the_constant_ones_beforehand(path: Path, tmp_path: Path) -> None:
    """The oracle: what ONNX Runtime has left of the file. It does run what is unused."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "left.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    left = {n.name for n in onnx.load(tmp_path / "left.onnx").graph.node if n.op_type == "Conv"}
    uses = load_network(str(path)).layers
    assert left == {use.name for use in uses if "constant" not in use.reason}


def test_they_are_not_replaced(path: Path, full_rank) -> None:
    network = load_network(str(path))
    assert isinstance(network, OnnxNetwork)
    chosen = full_rank(network)[0]
    assert set(chosen) == {"used"}
    with pytest.raises(ModelError, match="cannot be replaced"):
        network.replaced({"unused": chosen["used"]})
