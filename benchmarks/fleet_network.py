"""The network of the fleet's benchmark: one small convolution, so that a job is short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_network(path: Path) -> Path:
    """Write it; always the same bytes."""
    weights = np.random.default_rng(0).normal(size=(64, 64, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 64, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 64, 8, 8))],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return path
