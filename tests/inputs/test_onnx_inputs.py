"""What ONNX files take and answer beside one float tensor: read, planned for, written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from rankwise.errors import ModelError
from rankwise.inputs.examples import AskedInput
from rankwise.integrity.onnx_files import run_onnx
from rankwise.models.source import load_network
from rankwise.workflow.inspect import layers

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
WEIGHT = np.random.default_rng(0).standard_normal((16, 16)).astype(np.float32)
PRODUCT = helper.make_node("MatMul", ["x", "w"], ["a"])


def value(name: str, shape: list[object] | None, kind: int = FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def written(
    path: Path,
    nodes: list[NodeProto],
    inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto],
    **constants: np.ndarray,
) -> Path:
    tensors = [numpy_helper.from_array(one, name) for name, one in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def sum_of_two(path: Path) -> Path:
    nodes = [PRODUCT, helper.make_node("Add", ["a", "z"], ["y"])]
    shape: list[object] = ["N", "L", 16]
    ends = [value(name, shape) for name in "xzy"]
    return written(path, nodes, ends[:2], ends[2:], w=WEIGHT)


def test_a_size_of_an_axis_is_said_once(tmp_path: Path) -> None:
    file = sum_of_two(tmp_path / "n.onnx")
    network = load_network(file, inputs=[AskedInput("x", (2, 5, 16))])
    assert [spec.shape for spec in network.inputs.specs] == [(2, 5, 16), (2, 5, 16)]
    with pytest.raises(ModelError, match=r"'x' open \(\?,\?,16\)"):
        load_network(file)


def test_an_input_that_is_one_number(tmp_path: Path) -> None:
    nodes = [PRODUCT, helper.make_node("Mul", ["a", "k"], ["y"])]
    inputs = [value("x", ["N", 16]), value("k", [])]
    file = written(tmp_path / "n.onnx", nodes, inputs, [value("y", ["N", 16])], w=WEIGHT)
    load_network(file).save(tmp_path / "again.onnx")


def test_an_output_that_is_a_sequence(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("SequenceConstruct", ["y", "x", "y"], ["q"]),
    ]
    several = helper.make_tensor_sequence_value_info("q", FLOAT, None)
    outputs = [value("y", ["N", 16]), several]
    file = written(tmp_path / "n.onnx", nodes, [value("x", ["N", 16])], outputs, w=WEIGHT)
    again = load_network(file).save(tmp_path / "again.onnx")
    answers = run_onnx(again, np.ones((2, 16), np.float32))
    assert list(answers) == ["y", "q.0", "q.1", "q.2"]


def test_layers_of_a_file_in_double_precision_are_listed(tmp_path: Path) -> None:
    ends = value("x", ["N", 16], DOUBLE), value("a", ["N", 16], DOUBLE)
    file = written(tmp_path / "n.onnx", [PRODUCT], [ends[0]], [ends[1]], w=WEIGHT.astype(float))
    (layer,) = layers(file).layers
    assert (layer.reason, layer.macs, layer.params) == ("weights of type double", 256, 256)


def test_dropout_in_training_mode_is_refused(tmp_path: Path) -> None:
    nodes = [PRODUCT, helper.make_node("Dropout", ["a", "share", "training"], ["y"])]
    given = {"w": WEIGHT, "share": np.float32(0.5), "training": np.array(True)}
    ends = value("x", ["N", 16]), value("y", ["N", 16])
    constants = {name: np.asarray(one) for name, one in given.items()}
    file = written(tmp_path / "n.onnx", nodes, [ends[0]], [ends[1]], **constants)
    with pytest.raises(ModelError, match=r"random numbers \(Dropout\): export it in eval mode"):
        load_network(file)
