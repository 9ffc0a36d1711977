"""Small ONNX networks, and examples for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.pictures import Calibration, load_calibration

SHAPE = (1, 3, 12, 12)


def model_of(
    nodes: Sequence[NodeProto],
    weights: dict[str, np.ndarray],
    outputs: Sequence[str],
    opset: int = 17,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", 1, SHAPE)],
        [helper.make_tensor_value_info(name, 1, [None] * 4) for name in outputs],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def network_of(model: ModelProto, folder: Path, name: str = "small.onnx") -> OnnxNetwork:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return OnnxNetwork.load(path)


def pictures(folder: Path, count: int = 24, contrast: float = 0.0) -> Calibration:
    """Smooth random pictures, so that patches have something in common; their contrasts differ by
    that much, as the standard deviation of their logarithms."""
    rng = np.random.default_rng(1)
    coarse = rng.standard_normal((count, 3, 4, 4)).astype(np.float32)
    coarse *= np.exp(contrast * rng.standard_normal((count, 1, 1, 1))).astype(np.float32)
    path = folder / "pictures.npz"
    np.savez(path, inputs=coarse.repeat(3, axis=2).repeat(3, axis=3))
    return load_calibration(path, None, SHAPE)


def falling_chain(rank: int = 24, opset: int = 17, fall: float = 0.5) -> ModelProto:
    """A convolution, then two links with so many channels in between whose ranges fall fast."""
    rng = np.random.default_rng(0)
    sizes = np.exp(-fall * np.arange(rank))
    weights = {
        "w0": rng.standard_normal((16, 3, 3, 3)) / 5,
        "b0": rng.standard_normal(16) / 10,
        "w1": rng.standard_normal((rank, 16, 1, 1)) / 4 * sizes[:, None, None, None],
        "w2": rng.standard_normal((8, rank, 3, 3)) / 9 / sizes[:, None, None] ** 0.8,
        "b2": rng.standard_normal(8) / 10,
    }
    nodes = [
        helper.make_node("Conv", ["input", "w0", "b0"], ["c0"], "stem", pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"], "relu"),
        helper.make_node("Conv", ["r0", "w1"], ["middle"], "first"),
        helper.make_node("Conv", ["middle", "w2", "b2"], ["output"], "second", pads=[1] * 4),
    ]
    return model_of(nodes, weights, ["output"], opset)


def detector(with_sigmoid: bool = True) -> ModelProto:
    """Boxes in pixels and scores in 0..1 that leave through one Concat, as (n, 4 + 2, cells)."""
    rng = np.random.default_rng(0)
    weights = {
        "w0": rng.standard_normal((16, 3, 3, 3)) / 5,
        "wb": rng.standard_normal((4, 16, 1, 1)) * 60,
        "bb": np.full(4, 320.0),
        "ws": rng.standard_normal((2, 16, 1, 1)) / 4,
        "bs": np.zeros(2),
    }
    scores = [helper.make_node("Sigmoid", ["slogits"], ["s"], "sigmoid")] if with_sigmoid else []
    nodes = [
        helper.make_node("Conv", ["input", "w0"], ["c0"], "stem", pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"], "relu"),
        helper.make_node("Conv", ["r0", "wb", "bb"], ["b"], "boxes"),
        helper.make_node(
            "Conv", ["r0", "ws", "bs"], ["slogits" if with_sigmoid else "s"], "scores"
        ),
        *scores,
        helper.make_node("Concat", ["b", "s"], ["all"], "concat", axis=1),
    ]
    return model_of(nodes, weights, ["all"])
