"""Small ONNX models, and what onnxruntime computes of them, for the tests of the conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from rankwise.models.onnx_file import normalised
from rankwise.models.onnx_session import TensorSession
from rankwise.models.onnx_to_torch.conversion import to_torch_module

RNG = np.random.default_rng(0)
IMAGE = (2, 4, 6, 8)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


Node = tuple[str, Sequence[str], Sequence[str], dict[str, Any]]


def model_of(
    nodes: Sequence[Node],
    constants: dict[str, np.ndarray],
    shape: Sequence[int] = IMAGE,
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    made = [
        helper.make_node(op, list(ins), list(outs), f"n{i}", **attributes)
        for i, (op, ins, outs, attributes) in enumerate(nodes)
    ]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return normalised(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def assert_same(model: onnx.ModelProto, shape: Sequence[int] = IMAGE, positive: bool = False):
    """Equal to onnxruntime, to 1e-4 of the largest output."""
    names = [output.name for output in model.graph.output]
    inputs = floats(*shape)
    inputs = np.abs(inputs) + np.float32(0.1) if positive else inputs
    expected = TensorSession(model, names).run(inputs)
    module = to_torch_module(model, shape).module
    with torch.inference_mode():
        outputs = module(torch.from_numpy(inputs))
    found = outputs if isinstance(outputs, tuple) else (outputs,)
    for one, two in zip(found, expected, strict=True):
        assert tuple(one.shape) == two.shape
        largest = max(float(np.abs(two).max(initial=0)), 1e-6)
        np.testing.assert_allclose(one.numpy(), two, atol=1e-4 * largest)


def one(op: str, constants: dict[str, np.ndarray] | None = None, /, opset=17, **attributes: Any):
    constants = constants or {}
    return model_of([(op, ["x", *constants], ["y"], attributes)], constants, opset=opset)


CONV = {"w": floats(6, 4, 3, 3), "b": floats(6)}
