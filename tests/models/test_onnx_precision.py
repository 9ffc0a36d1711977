"""ONNX files in half precision are networks like others: read, replaced and written in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from rankwise.models.network import only
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.onnx_session import TensorSession

SHAPE = (2, 3, 8, 8)
HALF = {
    "float16": (TensorProto.FLOAT16, np.dtype(np.float16)),
    "bfloat16": (TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16)),
}
Write = Callable[[str, int, np.dtype[Any]], OnnxNetwork]


def branch(name: str, kind: int, dtype: np.dtype[Any]) -> onnx.GraphProto:
    """A graph that gives a constant, and one that it makes of another type."""
    constant = numpy_helper.from_array(np.ones(1, dtype), f"{name}/one")
    nodes = [
        helper.make_node("Constant", [], [f"{name}/one"], value=constant),
        helper.make_node("Cast", [f"{name}/one"], [name], to=kind),
    ]
    return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, kind, [1])])


def model(kind: int, dtype: np.dtype[Any], outside: int) -> ModelProto:
    """x, a convolution, a branch, a filled tensor, a linear layer, y; `outside` is the type of x
    and y."""
    rng = np.random.default_rng(0)
    arrays = {"w": (16, 3, 3, 3), "b": (16,), "g": (5, 16)}
    tensors = [
        numpy_helper.from_array((rng.standard_normal(s) / 4).astype(dtype), name)
        for name, s in arrays.items()
    ]
    tensors.append(numpy_helper.from_array(np.array(True), "yes"))
    branches = {name: branch(name, kind, dtype) for name in ("then_branch", "else_branch")}
    filled = numpy_helper.from_array(np.full(1, 0.5, dtype))
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=kind),
        helper.make_node("Conv", ["h", "w", "b"], ["a"], "conv", pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("If", ["yes"], ["one"], **branches),
        helper.make_node("Shape", ["f"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["half"], value=filled),
        helper.make_node("Sum", ["f", "one", "half"], ["s"]),
        helper.make_node("Gemm", ["s", "g"], ["o"], "head", transB=1),
        helper.make_node("Cast", ["o"], ["y"], to=outside),
    ]
    graph = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("x", outside, ["n", *SHAPE[1:]])],
        [helper.make_tensor_value_info("y", outside, ["n", 5])],
        tensors,
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 22)])


def single(half: np.dtype[Any]) -> ModelProto:
    """The same network with the same numbers in float32."""
    made = model(TensorProto.FLOAT, np.dtype(np.float32), TensorProto.FLOAT)
    for tensor in made.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            rounded = array.astype(half).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    return made


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("all_half", [True, False])
def test_half_precision(tmp_path: Path, full_rank: Any, name: str, all_half: bool) -> None:
    kind, dtype = HALF[name]
    path = tmp_path / "half.onnx"
    onnx.save(model(kind, dtype, kind if all_half else TensorProto.FLOAT), path)
    asked = [("x", SHAPE, name if all_half else "float32")]
    network = OnnxNetwork.load(path, inputs=asked)
    assert [(use.name, use.reason) for use in network.layers] == [("conv", ""), ("head", "")]
    (note,) = network.loading_notes
    assert f"its weights are {name} and were read in float32" in note

    given = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    (wanted,) = TensorSession(single(dtype), ["y"]).run(given)
    np.testing.assert_allclose(only(network.outputs(given)), wanted, rtol=1e-5, atol=1e-5)
    exact = network.replaced(full_rank(network)[0])
    session = onnxruntime.InferenceSession(exact.save(tmp_path / "out.onnx"))
    (answer,) = session.run(None, {"x": given})
    np.testing.assert_allclose(answer, wanted, rtol=1e-3, atol=1e-4)


def test_other_files_have_no_note(tmp_path: Path) -> None:
    onnx.save(single(np.dtype(np.float16)), tmp_path / "single.onnx")
    assert OnnxNetwork.load(tmp_path / "single.onnx", input_shape=SHAPE).loading_notes == ()


def test_shapes_of_networks_with_whole_numbers(tmp_path: Path) -> None:
    """Layers without a spec are counted by a run on inputs of the file's own types."""
    weight = numpy_helper.from_array(np.ones((2, 4, 3), np.float32), "w")
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "w"], ["y"], "heads"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT64, [1, 2, 5, 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 5, 3])]
    graph = helper.make_graph(nodes, "whole", inputs, outputs, [weight])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=opsets), tmp_path / "n.onnx")
    assert OnnxNetwork.load(tmp_path / "n.onnx").accounts.macs == {"heads": 2 * 5 * 4 * 3}
