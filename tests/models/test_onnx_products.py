"""Layers with something beside them: read as plain layers, replaced, and left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.onnx_session import TensorSession
from rankwise.models.source import load_network
from rankwise.ops.einsums import exchanged

RNG = np.random.default_rng(0)
DOMAINS = [helper.make_opsetid("com.microsoft", 1)]


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


Write = Callable[..., OnnxNetwork]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(
        op: str,
        inputs: Sequence[str],
        constants: dict[str, np.ndarray],
        shape: Sequence[int],
        *,
        opset: int = 17,
        domain: str = "",
        **given: Any,
    ) -> OnnxNetwork:
        """x -> Relu -> the node -> y, and x2 a doubled x."""
        nodes = [
            helper.make_node("Relu", ["x"], ["x1"], "relu"),
            helper.make_node("Add", ["x", "x"], ["x2"], "double"),
            helper.make_node(op, inputs, ["t"], "node", domain=domain, **given),
            helper.make_node("Identity", ["t"], ["y"], "end"),
        ]
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [onnx.ValueInfoProto(name="y")],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        opsets = [helper.make_opsetid("", opset), *DOMAINS]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        found = outputs(model, np.zeros(shape)).shape
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, found)
        model.graph.output[0].CopyFrom(output)
        onnx.save(model, tmp_path / "net.onnx")
        network = load_network(str(tmp_path / "net.onnx"))
        assert isinstance(network, OnnxNetwork)
        return network

    return make


M, V = floats(6, 5), floats(5)
CASES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "alpha": (("Gemm", ["x1", "w", "b"], {"w": M, "b": V}, (4, 6)), {"alpha": 0.3}),
    "beta": (("Gemm", ["x1", "w", "b"], {"w": M, "b": V}, (4, 6)), {"beta": 2.5}),
    "no bias": (("Gemm", ["x1", "w"], {"w": M}, (4, 6)), {"alpha": 0.3, "beta": 2.0}),
    "opset 9": (
        ("Gemm", ["x1", "w", "b"], {"w": M, "b": floats(4, 5)}, (4, 6)),
        {"alpha": 0.3, "beta": 2.0, "opset": 9},
    ),
    "transB": (
        ("Gemm", ["x1", "w", "b"], {"w": M.T.copy(), "b": V}, (4, 6)),
        {"transB": 1, "alpha": -1.5, "beta": 0.5},
    ),
    "transA": (
        ("Gemm", ["x1", "w", "b"], {"w": M, "b": V}, (6, 6)),
        {"transA": 1, "alpha": 0.7, "beta": 3.0},
    ),
    "matrix as bias": (
        ("Gemm", ["x1", "w", "b"], {"w": M, "b": floats(4, 5)}, (4, 6)),
        {"beta": 0.5},
    ),
    "column as bias": (("Gemm", ["x1", "w", "b"], {"w": M, "b": floats(4, 1)}, (4, 6)), {}),
    "computed bias": (("Gemm", ["x1", "w", "x2"], {"w": floats(6, 6)}, (4, 6)), {"beta": 0.5}),
    "Gemm on the left": (
        ("Gemm", ["w", "x1", "b"], {"w": M, "b": floats(6, 10)}, (5, 10)),
        {"alpha": 2.0, "beta": 0.5},
    ),
    "Gemm on the left, turned": (
        ("Gemm", ["w", "x1"], {"w": M.T.copy()}, (6, 5)),
        {"transA": 1, "transB": 1},
    ),
    "on the left": (("MatMul", ["w", "x1"], {"w": M}, (2, 5, 7)), {}),
    "on the left, four axes": (("MatMul", ["w", "x1"], {"w": M}, (2, 3, 5, 7)), {}),
    "on the left, two axes": (("MatMul", ["w", "x1"], {"w": M}, (5, 10)), {}),
    "a matrix with an axis of one": (("MatMul", ["x1", "w"], {"w": M[None]}, (2, 4, 6)), {}),
    "and on the left": (("MatMul", ["w", "x1"], {"w": M[None]}, (2, 5, 7)), {}),
}
K = floats(6, 4, 3, 3)
FUSED: dict[str, tuple[list[str], dict[str, Any]]] = {
    "Relu": (["x1", "w", "b"], {"activation": "Relu"}),
    "no bias": (["x1", "w"], {"activation": "Sigmoid"}),
    "LeakyRelu": (["x1", "w", "b"], {"activation": "LeakyRelu", "activation_params": [0.2]}),
    "Clip": (["x1", "w", "b"], {"activation": "Clip", "activation_params": [-0.5, 0.7]}),
    "HardSigmoid": (
        ["x1", "w", "b"],
        {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]},
    ),
    "auto_pad": (["x1", "w", "b"], {"activation": "Tanh", "auto_pad": "SAME_LOWER"}),
    "sum": (["x1", "w4", "b4", "x2"], {"activation": "Relu", "pads": [1] * 4}),
}


def outputs(model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    (found,) = TensorSession(model, ["y"]).run(inputs)
    return np.asarray(found)


def check(network: OnnxNetwork, tmp_path: Path, full_rank: Any) -> None:
    """Replaced at full rank it gives what the file gives; not replaced, it is the file."""
    (use,) = network.layers
    assert use.name == "node"
    assert use.spec is not None, use.reason
    inputs = floats(*network.input_shape)
    file = onnx.load(tmp_path / "net.onnx")
    wanted = outputs(file, inputs)
    by_kind = full_rank(network)
    assert by_kind
    for number, chosen in enumerate(by_kind):
        saved = network.replaced(chosen).save(tmp_path / f"{number}.onnx")
        model = onnx.load(saved)
        onnx.checker.check_model(model)
        assert not any(node.name == "node" for node in model.graph.node)
        np.testing.assert_allclose(outputs(model, inputs), wanted, atol=2e-5 * np.abs(wanted).max())
    again = onnx.load(network.save(tmp_path / "same.onnx"))
    assert list(again.graph.node) == list(file.graph.node)
    before, after = (
        {t.name: t.SerializeToString() for t in one.graph.initializer} for one in (file, again)
    )
    assert before == after


@pytest.mark.parametrize("case", CASES)
def test_products(write: Write, tmp_path: Path, full_rank: Any, case: str) -> None:
    given, more = CASES[case]
    check(write(*given, **more), tmp_path, full_rank)


@pytest.mark.parametrize("opset", [9, 17])
@pytest.mark.parametrize("case", FUSED)
def test_fused_convolutions(
    write: Write, tmp_path: Path, full_rank: Any, case: str, opset: int
) -> None:
    inputs, more = FUSED[case]
    known = {"w": K, "b": floats(6), "w4": K[:4], "b4": floats(4)}
    constants = {name: known[name] for name in inputs if name in known}
    network = write(
        "FusedConv", inputs, constants, (2, 4, 8, 9), domain="com.microsoft", opset=opset, **more
    )
    assert network.layers[0].op == "conv2d"
    check(network, tmp_path, full_rank)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (("MatMul", ["x1", "w"], {"w": floats(3, 6, 5)}, (2, 3, 4, 6)), "a matrix for each head"),
        (("MatMul", ["x1", "w"], {"w": floats(6)}, (4, 6)), "a vector"),
        (("MatMul", ["w", "x1"], {"w": floats(3, 5, 4)}, (2, 3, 4, 6)), "on the left"),
    ],
)
def test_what_stays_as_it_is(write: Write, node: tuple[Any, ...], reason: str) -> None:
    network = write(*node)
    assert reason in network.layers[0].reason
    assert [n.op_type for n in network.model.graph.node].count("MatMul") == 1


SUMS = {
    "...i,oi->...o": ((5, 6), (2, 3, 4, 6)),
    "bti, id -> btd": ((6, 5), (2, 3, 6)),
    "bti,ihd->bthd": ((6, 2, 3), (2, 3, 6)),
    "...hd,ohd->...o": ((5, 2, 3), (2, 4, 2, 3)),
    "bij,jiko->bok": ((3, 2, 3, 4), (2, 2, 3)),
}
"""The shapes of weight and input by the equation."""


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("equation", SUMS)
def test_sums(write: Write, tmp_path: Path, full_rank: Any, equation: str, first: bool) -> None:
    weight, shape = SUMS[equation]
    operands = ["x1", "w"]
    if first:
        operands, equation = operands[::-1], exchanged(equation)
    network = write("Einsum", operands, {"w": floats(*weight)}, shape, equation=equation)
    check(network, tmp_path, full_rank)
    given = floats(*shape)
    with torch.no_grad():
        answer = network.to_torch().module(torch.from_numpy(given)).numpy()
    file = onnx.load(tmp_path / "net.onnx")
    np.testing.assert_allclose(answer, outputs(file, given), atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "weight", "shape"),
    [
        ("bhtd,hde->bhte", (3, 6, 5), (2, 3, 4, 6)),
        ("bi,oi->ob", (5, 6), (4, 6)),
        ("bit,oi->bot", (5, 6), (2, 6, 3)),
        ("bi,oi", (5, 6), (4, 6)),
        ("bi,i->b", (6,), (4, 6)),
    ],
)
def test_sums_that_stay(write: Write, equation: str, weight: Any, shape: Any) -> None:
    network = write("Einsum", ["x1", "w"], {"w": floats(*weight)}, shape, equation=equation)
    assert [use.reason for use in network.layers] == [
        "a sum that is no product with one matrix (Einsum)"
    ]
    with torch.no_grad():
        given = torch.from_numpy(floats(*shape))
        answer = network.to_torch().module(given)
    wanted = torch.einsum(equation, given.relu(), torch.from_numpy(network_weight(network)))
    torch.testing.assert_close(answer, wanted)


def network_weight(network: OnnxNetwork) -> np.ndarray:
    (tensor,) = network.model.graph.initializer
    return numpy_helper.to_array(tensor).copy()


def test_weights_keep_the_names_of_the_file(write: Write, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    given, more = CASES["alpha"]
    state = load_file(write(*given, **more).save(tmp_path / "net.safetensors"))
    assert state.keys() == {"w", "b"}
    np.testing.assert_array_equal(state["w"], M)


def test_a_weight_that_others_read_stays(write: Write, tmp_path: Path, full_rank: Any) -> None:
    network = write("Gemm", ["x1", "w", "x1"], {"w": floats(6, 6)}, (4, 6), alpha=2.0, beta=0.5)
    check(network, tmp_path, full_rank)


def test_moments_and_torch_see_plain_layers(write: Write) -> None:
    """Patches are rows of what the layer multiplies, whatever the node does before."""
    given, more = CASES["transA"]
    network = write(*given, **more)
    inputs = floats(*network.input_shape)
    found = network.moments(inputs, {"node": ["patches"]})["node", "patches"]
    np.testing.assert_allclose(found.mean, np.maximum(inputs, 0).mean(1), atol=1e-5)
    assert network.to_torch(compared=True).names == {"node": "node"}
