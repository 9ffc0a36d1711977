"""A layer that was left in float is computed in float, whatever ONNX Runtime would make of it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from rankwise.quantization.integer_kernels import integer_products
from rankwise.quantization.static_quantiser import calibrated, quantised

from .graphs import SHAPE, model_of

BEHIND = {
    "nothing": [],
    "relu": [helper.make_node("Relu", ["c1"], ["r1"], "relu")],
    "clip": [helper.make_node("Clip", ["c1", "", "most"], ["r1"], "clip")],
}


def three(behind: str) -> ModelProto:
    """Three convolutions; the middle one's weights have channels of very different sizes, which one
    scale for all of them would make zeros of."""
    rng = np.random.default_rng(0)
    sizes = 10.0 ** -np.arange(8)[:, None, None, None]
    weights = {
        "w0": rng.standard_normal((16, 3, 3, 3)) / 5,
        "w1": rng.standard_normal((8, 16, 3, 3)) / 12 * sizes,
        "w2": rng.standard_normal((8, 8, 1, 1)) / 3,
        "most": np.float32(6),
    }
    middle = BEHIND[behind]
    nodes = [
        helper.make_node("Conv", ["input", "w0"], ["c0"], "first", pads=[1] * 4),
        helper.make_node("Conv", ["c0", "w1"], ["c1"], "middle", pads=[1] * 4),
        *middle,
        helper.make_node("Conv", ["r1" if middle else "c1", "w2"], ["y"], "last"),
    ]
    return model_of(nodes, weights, ["y"])


@pytest.mark.parametrize("behind", BEHIND)
def test_it_is_not_quantised_behind_its_back(behind: str) -> None:
    inputs = np.random.default_rng(1).standard_normal((4, *SHAPE[1:])).astype(np.float32)
    model = three(behind)
    ranges = calibrated(model, inputs, 1)
    assert integer_products(quantised(model, ranges, [])) == 3
    made = quantised(model, ranges, ["middle"])
    assert integer_products(made) == 2
    onnx.checker.check_model(made)


def test_relu_is_written_otherwise_and_is_relu_still() -> None:
    inputs = np.random.default_rng(1).standard_normal((1, *SHAPE[1:])).astype(np.float32)
    model = three("relu")
    made = quantised(model, calibrated(model, inputs, 1), ["middle"])
    behind = [node for node in made.graph.node if node.op_type in ("Relu", "LeakyRelu")]
    assert [[one.f for one in node.attribute] for node in behind] == [[0.0]]
