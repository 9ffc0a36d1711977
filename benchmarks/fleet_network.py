"""Networks of the fleet's benchmarks: one small convolution, so that a job is short; many linear
layers that are all different, to be shared out."""

from __future__ import annotations

from itertools import pairwise
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


def widths(layers: int) -> list[int]:
    """Of so many linear layers, one after another: no two have the same pair."""
    return [64 + (37 * n) % 211 for n in range(layers + 1)]


def write_linear_layers(path: Path, layers: int) -> Path:
    """Write linear layers of these widths; always the same bytes."""
    sizes, rng = widths(layers), np.random.default_rng(0)
    ends = [(f"x{n}", (1, sizes[n])) for n in (0, layers)]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"x{n + 1}"], f"linear{n}")
            for n in range(layers)
        ],
        "many",
        [helper.make_tensor_value_info(ends[0][0], TensorProto.FLOAT, ends[0][1])],
        [helper.make_tensor_value_info(ends[1][0], TensorProto.FLOAT, ends[1][1])],
        [
            numpy_helper.from_array(rng.normal(size=pair).astype(np.float32), f"w{n}")
            for n, pair in enumerate(pairwise(sizes))
        ],
    )
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return path
