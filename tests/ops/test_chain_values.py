"""Chains once more: what is counted where nothing is said, and how random weights spread."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.ops.chain import Chain, random_weights
from rankwise.ops.onnx_writer import chain_model
from rankwise.records import LayerSpec

WIDE = LayerSpec("conv2d", 32, 64, (32, 7, 5), (3, 3), padding=(1, 1, 1, 1), groups=2)


def test_traffic_is_of_one_float32_example() -> None:
    """Each link reads its input and its weights and writes its output."""
    moved = 32 * 35 + 64 * 35 + WIDE.params
    assert Chain((WIDE,)).bytes_moved() == 4 * moved
    assert Chain((WIDE,)).bytes_moved(element_bytes=2) == 2 * moved
    assert Chain((WIDE,)).bytes_moved(3) == 4 * (moved + 2 * 35 * (32 + 64))


@pytest.mark.parametrize(
    ("spec", "fan_in"), [(WIDE, 16 * 9), (LayerSpec("linear", 400, 300, (400,)), 400)]
)
def test_weights_have_one_over_fan_in_and_biases_are_small(spec: LayerSpec, fan_in: int) -> None:
    (one,) = random_weights(Chain((spec,)))
    assert one.weight.std() == pytest.approx(fan_in**-0.5, rel=0.05)
    assert one.bias is not None
    assert one.bias.std() == pytest.approx(0.1, rel=0.25)
    assert one.bias.dtype == one.weight.dtype == np.float32
    (again,) = random_weights(Chain((spec,)), 0)
    assert np.array_equal(one.weight, again.weight)


def test_models_are_read_by_older_runtimes() -> None:
    model = chain_model(Chain((WIDE,)), random_weights(Chain((WIDE,))), 2)
    assert model.ir_version == 10
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)]
    assert model.producer_name == "rankwise"
