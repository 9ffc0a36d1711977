"""Layers that pad as the size of their input asks for, replaced in files of open sizes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from rankwise.errors import ModelError
from rankwise.models.onnx_layers import find_layers
from rankwise.models.onnx_session import TensorSession
from rankwise.models.source import load_network
from rankwise.ops.onnx_padding import keep_auto_pad

MODES = ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"]
SIZES = [(9, 8), (7, 13), (16, 5), (10, 10), (6, 6)]


def one_conv(kernel, strides, mode, *, channels=3, groups=1, dilations=(1, 1)) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    tensors = {
        "w": rng.standard_normal((8, channels // groups, *kernel)).astype(np.float32),
        "b": rng.standard_normal(8).astype(np.float32),
    }
    given = {"strides": strides, "dilations": dilations, "group": groups, "auto_pad": mode}
    if mode == "NOTSET":
        given["pads"] = [1, 0, 2, 1]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", **given),
        helper.make_node("Relu", ["c"], ["y"], "relu"),
    ]
    shape = ["n", channels, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 8, "oh", "ow"])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 5), (4, 1), (3, 2)])
def test_equal_outputs_at_any_size(tmp_path, full_rank, mode, strides, kernel):
    """Fails where pads are frozen at the size (10, 11) that the layer was read with."""
    onnx.save(one_conv(kernel, strides, mode), tmp_path / "net.onnx")
    network = load_network(str(tmp_path / "net.onnx"), input_shape=(1, 3, 10, 11))
    by_kind = full_rank(network)
    assert by_kind
    rng = np.random.default_rng(1)
    for number, chosen in enumerate(by_kind):
        file = network.replaced(chosen).save(tmp_path / f"{number}.onnx")
        before = TensorSession(network.model, ["y"])
        after = TensorSession(onnx.load(file), ["y"])
        for size in SIZES:
            inputs = rng.standard_normal((2, 3, *size))
            (wanted,), (given,) = before.run(inputs), after.run(inputs)
            np.testing.assert_allclose(given, wanted, atol=2e-5 * np.abs(wanted).max())


def test_groups_keep_it_too(tmp_path, full_rank):
    model = one_conv((3, 3), (2, 1), "SAME_LOWER", channels=4, groups=2)
    onnx.save(model, tmp_path / "net.onnx")
    network = load_network(str(tmp_path / "net.onnx"), input_shape=(1, 4, 12, 12))
    for chosen in full_rank(network):
        after = TensorSession(network.replaced(chosen).model, ["y"])
        inputs = np.random.default_rng(1).standard_normal((1, 4, 9, 7))
        (wanted,) = TensorSession(network.model, ["y"]).run(inputs)
        np.testing.assert_allclose(after.run(inputs)[0], wanted, atol=1e-5 * np.abs(wanted).max())


def test_dilation_that_the_runtime_does_not_pad_for_is_one_sentence(tmp_path):
    model = one_conv((3, 3), (1, 1), "SAME_UPPER", dilations=(2, 2))
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="Dilation not supported"):
        load_network(str(tmp_path / "net.onnx"), input_shape=(1, 3, 10, 11))


def test_any_number_of_axes_and_dilation():
    """The rule itself: ONNX says of `auto_pad` nothing that depends on the number of axes."""
    given = {"auto_pad": "SAME_UPPER", "strides": [2, 1, 1], "dilations": [1, 3, 1]}
    model = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv", **given)],
        "net",
        [],
        [],
        [numpy_helper.from_array(np.ones((2, 2, 3, 2, 5), np.float32), "w")],
    )
    (layer,) = find_layers(model)
    sizes = {"kernel_shape": [3, 1, 1], "strides": [2, 1, 1], "pads": [1] * 6}
    first = helper.make_node("Conv", ["x", "a"], ["t"], **sizes)
    sizes = {"kernel_shape": [1, 2, 5], "dilations": [1, 3, 1], "pads": [1] * 6}
    second = helper.make_node("Conv", ["t", "b"], ["y"], **sizes)
    keep_auto_pad(layer.node, (2, 2, 3, 2, 5), [first, second])
    for node in (first, second):
        found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        assert found["auto_pad"] == b"SAME_UPPER"
        assert "pads" not in found


def test_a_chain_that_walks_in_other_steps_is_refused():
    model = one_conv((5, 5), (1, 1), "SAME_UPPER")
    (layer,) = find_layers(model.graph)
    halves = [helper.make_node("Conv", ["x", "a"], ["t"], kernel_shape=[3, 3]) for _ in range(2)]
    with pytest.raises(ModelError, match=r"'conv' pads as the size .* cannot follow"):
        keep_auto_pad(layer.node, (8, 3, 5, 5), halves)
