"""Chains in eight bits: what they compute, what becomes of their numbers, what stays in float."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from rankwise.backends.base import random_input
from rankwise.errors import LayerError
from rankwise.ops.chain import Chain, LinkWeights, Stretch, random_weights
from rankwise.ops.quantized_writer import Boundary, quantized_model
from rankwise.ops.reference import reference
from rankwise.records import LayerSpec
from rankwise.testing.backend_cases import CHAINS

THREE = CHAINS["three links"]
LARGEST = 0.06
"""Of the error, relative to the largest output: a step is 1/25 of a standard deviation."""


def run(model: onnx.ModelProto, integers: np.ndarray) -> np.ndarray:
    """Node by node, as it is written: nothing is fused."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"input": integers})
    return found


def computed(
    chain: Chain, floats: tuple[Stretch, ...] = (), dtype: str = "uint8", last: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """What the graph computes, and what the chain's definition says."""
    weights = random_weights(chain)
    model, boundary = quantized_model(
        chain, weights, 2, dtype=dtype, channels_last=last, floats=floats
    )
    images = random_input((2, *chain.input_shape), seed=1)
    found = run(model, boundary.encoded(images))
    assert found.dtype == np.dtype(dtype)
    return boundary.decoded(found), reference(chain, weights, images)


def require_near(chain: Chain, **how: object) -> None:
    found, wanted = computed(chain, **how)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= LARGEST * np.abs(wanted).max()


@pytest.mark.parametrize("name", CHAINS)
def test_it_is_the_chain(name: str) -> None:
    require_near(CHAINS[name])


@pytest.mark.parametrize("floats", [((0, 1),), ((1, 3),), ((0, 3),), ((0, 1), (1, 3))], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("last", [False, True])
def test_stretches_in_float_and_forms_of_the_boundary(
    floats: tuple[Stretch, ...], dtype: str, last: bool
) -> None:
    require_near(THREE, floats=floats, dtype=dtype, last=last)


def test_a_link_in_float_loses_less() -> None:
    errors = []
    for floats in ((), ((0, 3),)):
        found, wanted = computed(THREE, floats)
        errors.append(np.abs(found - wanted).mean())
    assert errors[1] < errors[0]


def test_each_link_has_conversions_before_and_behind_it() -> None:
    def counts(floats: tuple[Stretch, ...]) -> tuple[int, int]:
        model, _ = quantized_model(THREE, random_weights(THREE), 1, floats=floats)
        ops = Counter(node.op_type for node in model.graph.node)
        return ops["QuantizeLinear"], ops["DequantizeLinear"]

    # Of three weights and one bias, and of the tensors.
    assert counts(()) == (3, 4 + 3)
    assert counts(((0, 3),)) == (1, 1)
    assert counts(((1, 2),)) == (3, 3 + 3)
    assert counts(((0, 1), (1, 2), (2, 3))) == (3, 3)


def test_weights_have_a_scale_for_each_output_channel_and_no_zero_point() -> None:
    chain = Chain((LayerSpec("conv_transpose2d", 4, 6, (4, 4, 5), (3, 2), groups=2),))
    model, _ = quantized_model(chain, random_weights(chain), 1)
    arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    named = {
        part: arrays[name]
        for name in arrays
        for part in ("steps", "scale", "zero")
        if name.endswith(f"weight.{part}")
    }
    assert named["steps"].dtype == np.int8
    assert named["steps"].shape == (4, 3, 3, 2)
    assert named["scale"].shape == (3,)
    assert not named["zero"].any()
    assert np.abs(named["steps"]).max() == 127
    (bias,) = (one for name, one in arrays.items() if name.endswith("bias.steps"))
    assert bias.dtype == np.int32


def test_a_channel_of_zeros_has_a_scale() -> None:
    chain = Chain((LayerSpec("linear", 3, 2, (3,)),))
    weight = np.float32([[0, 0, 0], [1, 2, 3]])
    model, boundary = quantized_model(chain, [LinkWeights(weight, np.zeros(2, np.float32))], 1)
    found = run(model, boundary.encoded(np.float32([[1, 1, 1]])))
    assert boundary.decoded(found) == pytest.approx(np.float32([[0, 6]]), abs=0.3)


def test_weights_of_another_chain_are_refused() -> None:
    with pytest.raises(LayerError):
        quantized_model(THREE, random_weights(CHAINS["linear"]), 1)


@given(st.floats(1e-3, 1e3), st.booleans(), st.sampled_from(["uint8", "int8"]))
def test_a_boundary_gives_back_what_it_took(scale: float, last: bool, dtype: str) -> None:
    boundary = Boundary(dtype, scale, scale, last)
    array = np.random.default_rng(0).uniform(-127 * scale, 127 * scale, (2, 3, 4, 5))
    taken = boundary.encoded(array)
    assert taken.shape == ((2, 4, 5, 3) if last else (2, 3, 4, 5))
    assert np.abs(boundary.decoded(taken) - array).max() <= 0.5001 * scale
    far = boundary.decoded(boundary.encoded(array * 10))
    assert np.abs(far).max() <= 128 * scale * (1 + 1e-6)


def test_the_range_is_not_wasted() -> None:
    """Outputs use a good part of the integers that there are."""
    chain = Chain((LayerSpec("conv2d", 32, 32, (32, 9, 9), (3, 3)),))
    model, boundary = quantized_model(chain, random_weights(chain), 4)
    images = random_input((4, 32, 9, 9), seed=1)
    found = run(model, boundary.encoded(images))
    assert 0 < found.min() < 80
    assert 175 < found.max() < 255
