"""What cannot be decomposed stands in `rankwise layers` with its reason in one phrase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from rankwise import documents
from rankwise.errors import ModelError
from rankwise.workflow.inspect import layers


def only_phrases(document: documents.Layers) -> dict[str, str]:
    """Layer names and reasons; all are phrases of one line, and no refused layer has kinds."""
    for layer in document.layers:
        assert bool(layer.kinds) != bool(layer.reason), layer
        assert "\n" not in layer.reason
        assert not layer.reason.endswith(".")
        assert len(layer.reason) < 80
    return {layer.name: layer.reason for layer in document.layers}


class Called(nn.Module):
    """A layer and how it is called."""

    def __init__(self, layer: nn.Module, call: Any) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.layer, x)


def plain(layer: nn.Module, x: Tensor) -> Any:
    return layer(x)


def first(layer: nn.Module, x: Tensor) -> Any:
    return layer(x)[0]


def thrice(layer: nn.Module, x: Tensor) -> Any:
    return layer(x, x, x)[0]


class Noisy(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


def complex_conv() -> nn.Module:
    return nn.Conv2d(3, 4, 3, dtype=torch.float64)


class Halved(nn.ConvTranspose2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


class OwnAttention(nn.MultiheadAttention):
    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        answer, weights = super().forward(*inputs)
        return 2 * answer, weights


class Whole(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.double()).float()


@pytest.mark.parametrize(
    ("module", "shape", "reason"),
    [
        (Called(nn.Conv1d(3, 4, 3), lambda m, x: m(x[0])), (1, 3, 9), "the network's batch"),
        (
            Called(nn.ConvTranspose3d(3, 4, 3), lambda m, x: m(x[0])),
            *((1, 3, 5, 5, 5), "the network's batch"),
        ),
        (
            Called(nn.ConvTranspose1d(3, 4, 3, 2), lambda m, x: m(x, [6])[..., 1:] + m(x)),
            *((1, 3, 2), "different output sizes"),
        ),
        (Halved(3, 4, 3), (1, 3, 9, 9), "Halved computes in its own way"),
        (nn.Conv2d(6, 6, 3, groups=6), (1, 6, 9, 9), "depthwise convolution"),
        (nn.Conv2d(6, 12, 1, groups=6), (1, 6, 9, 9), "depthwise convolution"),
        (Noisy(4, 4), (1, 4), "Noisy computes in its own way"),
        (Whole(complex_conv()), (1, 3, 9, 9), "weights of type torch.float64"),
        (Called(nn.Bilinear(4, 4, 3), lambda m, x: m(x, x)), (2, 4), "several inputs (Bilinear)"),
        (
            Called(OwnAttention(4, 2, batch_first=True), thrice),
            *((2, 3, 4), "attention that computes in its own way"),
        ),
        (Called(nn.LSTM(4, 5, batch_first=True), first), (2, 3, 4), "recurrent layer"),
        (Called(nn.GRUCell(4, 5), plain), (2, 4), "recurrent layer"),
        (Called(nn.Conv2d(3, 4, 3), lambda _, x: x), (1, 3, 9, 9), "not called"),
        (Called(nn.Linear(4, 4), lambda m, x: m(x[:1])), (2, 4), "does not divide"),
        (Called(nn.Conv2d(3, 4, 3), lambda m, x: m(x[0])), (1, 3, 9, 9), "the network's batch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_torch(module: nn.Module, shape: tuple[int, ...], reason: str) -> None:
    found = only_phrases(layers(module, torch.zeros(shape)))
    assert reason in next(iter(found.values())), found


@pytest.mark.parametrize("where", ["meta", "cpu"])
def test_weights_without_numbers(where: str) -> None:
    module = nn.Sequential(nn.Linear(4, 4, device=where), nn.Linear(4, 4, device="meta"))
    with pytest.raises(ModelError, match=r"no numbers.*\(device meta\): .*load its weights"):
        layers(module, torch.zeros(2, 4))


def test_int8_modules_of_torch() -> None:
    from torch.ao.quantization import quantize_dynamic

    with pytest.warns(DeprecationWarning, match="torch.ao.quantization"):
        made = quantize_dynamic(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), {nn.Linear})
    found = only_phrases(layers(made, torch.zeros(2, 4)))
    assert found == dict.fromkeys(("0", "1"), "int8 weights (Linear)")


def test_a_shared_module_is_one_layer_that_can_be_decomposed() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    document = layers(nn.Sequential(conv, nn.ReLU(), conv), torch.zeros(1, 3, 9, 9))
    assert only_phrases(document) == {"0": ""}


def test_networks_with_several_inputs_are_refused() -> None:
    both = Called(nn.Conv2d(3, 4, 3), plain)
    with pytest.raises(ModelError, match="input") as refusal:
        layers(both, (torch.zeros(1, 3, 9, 9), torch.zeros(1, 3, 9, 9)))
    assert "\n" not in str(refusal.value)


def onnx_file(
    tmp_path: Path,
    nodes: list[NodeProto],
    constants: dict[str, np.ndarray],
    shape: tuple[int, ...],
    domains: tuple[str, ...] = (),
    more_inputs: tuple[str, ...] = (),
) -> str:
    rank = 4 if nodes[-1].op_type == "LSTM" else len(shape)
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name in ("x", *more_inputs)
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(name, 1) for name in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path = tmp_path / "one.onnx"
    onnx.save(model, path)
    return str(path)


F32 = np.float32
CONV = np.ones((4, 3, 3, 3), F32)
MATRIX = np.ones((3, 4), F32)
SCALE, ZERO, ZERO_I8 = np.array(0.5, F32), np.array(0, np.uint8), np.array(0, np.int8)


def node(op: str, *inputs: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, list(inputs), ["y"], "layer", **attributes)


def quantized_input() -> NodeProto:
    return helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])


QUANTIZED = {"s": SCALE, "z": ZERO, "zw": ZERO_I8}


@pytest.mark.parametrize(
    ("nodes", "constants", "shape", "reason"),
    [
        ([node("Conv", "x", "w", group=3)], {"w": np.ones((6, 1, 3, 3), F32)}, (1, 3, 9, 9),
         "depthwise convolution"),
        ([helper.make_node("Relu", ["x"], ["r"]), node("Conv", "x", "r")], {}, (3, 3, 3, 3),
         "its weight is computed"),
        ([helper.make_node("Relu", ["x"], ["r"]), node("Gemm", "x", "r")], {}, (3, 3),
         "its weight is computed"),
        ([helper.make_node("Relu", ["x"], ["r"]), node("MatMul", "x", "r")], {}, (3, 3),
         "several inputs (product of two computed tensors)"),
        ([node("MatMul", "w", "x")], {"w": MATRIX.T.copy()}, (3, 5),
         "does not divide by the network's batch"),
        ([node("MatMul", "w", "x")], {"w": np.ones((2, 4, 3), F32)}, (2, 3, 5),
         "its weight stands on the left"),
        ([node("MatMul", "x", "w")], {"w": np.ones((2, 3, 4), F32)}, (2, 5, 3), "3 axes"),
        ([node("Gemm", "x", "w", transA=1)], {"w": MATRIX}, (3, 2),
         "does not divide by the network's batch"),
        ([helper.make_node("DequantizeLinear", ["w", "s"], ["d"]), node("Conv", "x", "d")],
         {"w": CONV.astype(np.int8), "s": SCALE}, (1, 3, 9, 9), "int8 weights (QDQ)"),
        ([helper.make_node("DequantizeLinear", ["w", "s"], ["d"]), node("MatMul", "x", "d")],
         {"w": MATRIX.astype(np.int8), "s": SCALE}, (2, 3), "int8 weights (QDQ)"),
        ([quantized_input(), helper.make_node("QLinearConv",
          ["q", "s", "z", "w", "s", "zw", "s", "z"], ["o"], "layer"),
          helper.make_node("DequantizeLinear", ["o", "s", "z"], ["y"])],
         {**QUANTIZED, "w": CONV.astype(np.int8)}, (1, 3, 9, 9), "int8 weights (QLinearConv)"),
        ([quantized_input(), helper.make_node("QLinearMatMul",
          ["q", "s", "z", "w", "s", "zw", "s", "z"], ["o"], "layer"),
          helper.make_node("DequantizeLinear", ["o", "s", "z"], ["y"])],
         {**QUANTIZED, "w": MATRIX.astype(np.int8)}, (2, 3), "int8 weights (QLinearMatMul)"),
        ([quantized_input(), helper.make_node("ConvInteger", ["q", "w"], ["o"], "layer"),
          helper.make_node("Cast", ["o"], ["y"], to=1)],
         {**QUANTIZED, "w": CONV.astype(np.uint8)}, (1, 3, 9, 9), "int8 weights (ConvInteger)"),
        ([quantized_input(), helper.make_node("MatMulInteger", ["q", "w"], ["o"], "layer"),
          helper.make_node("Cast", ["o"], ["y"], to=1)],
         {**QUANTIZED, "w": MATRIX.astype(np.uint8)}, (2, 3), "int8 weights (MatMulInteger)"),
        ([node("Einsum", "x", "w", equation="ij,jk->ki")], {"w": MATRIX}, (2, 3), "Einsum"),
        ([node("LSTM", "x", "w", "r", hidden_size=1)],
         {"w": np.ones((1, 4, 3), F32), "r": np.ones((1, 4, 1), F32)}, (2, 1, 3),
         "recurrent layer (LSTM)"),
        ([node("FusedMatMul", "x", "w", domain="com.microsoft")], {"w": MATRIX}, (2, 3),
         "FusedMatMul of com.microsoft"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_onnx(
    tmp_path: Path,
    nodes: list[NodeProto],
    constants: dict[str, np.ndarray],
    shape: tuple[int, ...],
    reason: str,
) -> None:
    domains = tuple({one.domain for one in nodes} - {""})
    found = only_phrases(layers(onnx_file(tmp_path, nodes, constants, shape, domains)))
    (name,) = found
    assert name == "layer"
    assert reason in found[name]


def test_onnx_layers_inside_a_branch(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        part = helper.make_node("MatMul", ["x", "w"], [f"{name}_y"], name)
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [2, 4])
        return helper.make_graph([part], name, [], [out])

    choose = node("If", "yes", then_branch=branch("a"), else_branch=branch("b"))
    constants = {"yes": np.array(True), "w": MATRIX}
    found = only_phrases(layers(onnx_file(tmp_path, [choose], constants, (2, 3))))
    assert found == dict.fromkeys(("a", "b"), "inside a node of type If")
