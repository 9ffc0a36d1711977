"""ConvTranspose nodes against ONNX Runtime, whose answer at the same size is the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from onnx_models import model_of

from rankwise.models.onnx_layers import find_layers
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.ops.chain import Chain, LinkWeights
from rankwise.ops.reference import reference


@st.composite
def attributes(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Attributes of a node, and the sizes of its kernel."""
    axes = draw(st.integers(1, 3))

    def numbers(least: int, most: int) -> list[int]:
        return draw(st.lists(st.integers(least, most), min_size=axes, max_size=axes))

    given: dict[str, Any] = {"group": draw(st.sampled_from([1, 2])), "strides": numbers(1, 3)}
    if draw(st.booleans()):
        given["dilations"] = numbers(1, 2)
    way = draw(st.sampled_from(["pads", "output_shape", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if way == "pads":
        given["pads"] = numbers(0, 1) + numbers(0, 1)
        added = zip(numbers(0, 2), given["strides"], strict=True)
        given["output_padding"] = [min(n, stride - 1) for n, stride in added]
    elif way == "output_shape":
        given["output_shape"] = numbers(3, 6)
    else:
        given["auto_pad"] = way
    return given, tuple(numbers(1, 3))


def runtime_outputs(model: ModelProto, inputs: np.ndarray) -> np.ndarray | None:
    """What the runtime computes; None where it refuses the node."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session.run(None, {session.get_inputs()[0].name: inputs})[0]
    except Exception:  # what a runtime refuses is not looked at
        return None


@settings(max_examples=60)
@given(attributes())
def test_a_node_is_what_the_runtime_computes(case: tuple[dict[str, Any], tuple[int, ...]]) -> None:
    """Its spec, and the torch module that is made of it."""
    given, kernel = case
    rng = np.random.default_rng(0)
    shape = (2, 4, *(3, 4, 3)[: len(kernel)])
    inputs = rng.standard_normal(shape).astype(np.float32)
    weights = {
        "w": rng.standard_normal((4, 2, *kernel)).astype(np.float32),
        "b": rng.standard_normal(2 * given["group"]).astype(np.float32),
    }
    node = ("ConvTranspose", ["x", "w", "b"], ["y"], given)
    model = model_of([node], weights, shape)
    wanted = runtime_outputs(model, inputs)
    assume(wanted is not None and wanted.size)
    network = OnnxNetwork(model, "case", shape)
    spec = network.layers[0].spec
    assert spec is not None
    assert spec.output_shape == wanted.shape[1:]
    layer = LinkWeights(*network.weights(network.layers[0].name))
    np.testing.assert_allclose(reference(Chain((spec,)), [layer], inputs), wanted, atol=1e-4)
    with torch.no_grad():
        module = network.to_torch().module
        np.testing.assert_allclose(module(torch.from_numpy(inputs)).numpy(), wanted, atol=1e-4)


@pytest.mark.parametrize("kernel", [(), (2, 2, 2, 2)])
def test_other_numbers_of_axes_carry_their_reason(kernel: tuple[int, ...]) -> None:
    shape = (1, 3, *(4 for _ in kernel))
    weights = {"w": np.ones((3, 4, *kernel), np.float32)}
    model = model_of([("ConvTranspose", ["x", "w"], ["y"], {})], weights, shape)
    (layer,) = find_layers(model.graph)
    assert layer.reason == f"{len(kernel)} axes of positions"


@pytest.mark.parametrize("opened", [False, True])
def test_a_given_output_shape_pads_by_the_size_of_the_input(opened: bool) -> None:
    """Its pads make up for what is missing to the shape, which at other sizes is something else."""
    weight = np.ones((2, 3, 3, 3), np.float32)
    given = {"strides": [2, 2], "output_shape": [12, 12]}
    node = ("ConvTranspose", ("x", "w"), ("y",), given)
    model = model_of([node], {"w": weight}, (1, 2, 6, 6))
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:] if opened else ():
        dim.Clear()
    (layer,) = find_layers(model.graph)
    assert ("output shape" in layer.reason) == opened
