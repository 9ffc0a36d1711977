"""Small networks that hold what real ones hold: residuals, in-place ReLU, odd paddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from rankwise.lowrank import applicable_kinds, factor, full_ranks, lower
from rankwise.models.network import Network
from rankwise.ops.chain import Chain, LinkWeights
from rankwise.records import Decomposition


class SmallNet(nn.Module):
    """Two convolutions around a residual with in-place operations, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.stem(x)).relu_()
        y = self.body(x)
        y += x
        return self.fc(y.mean((2, 3)))


@pytest.fixture
def small_net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return SmallNet().eval()


OnnxMaker = Callable[..., Path]


@pytest.fixture
def make_onnx(tmp_path: Path) -> OnnxMaker:
    """Writes conv -> relu -> conv (residual) -> pool -> linear -> softmax as one ONNX file.

    `weights_as`: initializer, constant (nodes) or identity (of initializers); `conv`: attributes
    of the first convolution; `head`: gemm, gemm_t, matmul; `input_shape`: names are open sizes.
    """

    def make(
        name: str = "net.onnx",
        *,
        weights_as: str = "initializer",
        conv: Mapping[str, Any] | None = None,
        bias: bool = True,
        head: str = "gemm_t",
        input_shape: tuple[int | str, ...] = (1, 3, 10, 12),
        opset: int = 17,
        ir_version: int = 8,
        named: bool = True,
    ) -> Path:
        rng = np.random.default_rng(0)
        tensors = {
            "w1": rng.standard_normal((8, 3, 3, 3)) / 5,
            "b1": rng.standard_normal(8),
            "w2": rng.standard_normal((8, 8, 3, 3)) / 8,
            "w3": rng.standard_normal((5, 8) if head == "gemm_t" else (8, 5)),
            "b3": rng.standard_normal(5),
        }
        if not bias:
            del tensors["b1"]
        initializers = [
            numpy_helper.from_array(array.astype(np.float32), key) for key, array in tensors.items()
        ]
        nodes, rename = [], {key: key for key in tensors}
        if weights_as == "constant":
            nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in initializers]
            initializers = []
        elif weights_as == "identity":
            rename = {key: f"{key}_same" for key in tensors}
            nodes = [helper.make_node("Identity", [key], [rename[key]]) for key in tensors]
        conv = {"pads": [1, 1, 1, 1], **(conv or {})}
        if "auto_pad" in conv:
            del conv["pads"]
        first = ["input", rename["w1"], *([rename["b1"]] if bias else [])]
        title = (lambda text: text) if named else (lambda text: "")
        nodes += [
            helper.make_node("Conv", first, ["c1"], title("first"), **conv),
            helper.make_node("Relu", ["c1"], ["r1"], title("relu")),
            helper.make_node("Conv", ["r1", rename["w2"]], ["c2"], title("second"), pads=[1] * 4),
            helper.make_node("Add", ["c2", "r1"], ["sum"], title("add")),
            helper.make_node("GlobalAveragePool", ["sum"], ["pooled"], title("pool")),
            helper.make_node("Flatten", ["pooled"], ["flat"], title("flatten")),
        ]
        if head == "matmul":
            nodes += [
                helper.make_node("MatMul", ["flat", rename["w3"]], ["product"], title("head")),
                helper.make_node("Add", ["product", rename["b3"]], ["logits"], title("head_bias")),
            ]
        else:
            operands = ["flat", rename["w3"], rename["b3"]]
            turned = {"transB": 1} if head == "gemm_t" else {}
            nodes.append(helper.make_node("Gemm", operands, ["logits"], title("head"), **turned))
        nodes.append(helper.make_node("Softmax", ["logits"], ["output"], title("softmax"), axis=1))
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape)]
        if ir_version < 4:
            inputs += [helper.make_tensor_value_info(t.name, 1, t.dims) for t in initializers]
        outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [input_shape[0], 5])]
        graph = helper.make_graph(nodes, "net", inputs, outputs, initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
        )
        model.metadata_props.add(key="author", value="a test")
        path = tmp_path / name
        onnx.save(model, path)
        return path

    return make


Replacement = tuple[Chain, tuple[LinkWeights, ...]]


def replacement(network: Network, name: str, kind: str) -> Replacement:
    """The layer at full rank, from its own weights."""
    spec = next(use.spec for use in network.layers if use.name == name)
    assert spec is not None
    decomposition = Decomposition(kind, full_ranks(spec, kind))
    weight, bias = network.weights(name)
    return lower(spec, decomposition), factor(spec, decomposition, weight, bias)


@pytest.fixture
def full_rank() -> Callable[[Network], list[dict[str, Replacement]]]:
    """For each kind: a replacement at full rank for every layer that the kind applies to."""

    def make(network: Network) -> list[dict[str, Replacement]]:
        by_kind: dict[str, dict[str, Replacement]] = {}
        for use in network.layers:
            for kind in applicable_kinds(use.spec)[0] if use.spec else []:
                by_kind.setdefault(kind, {})[use.name] = replacement(network, use.name, kind)
        return list(by_kind.values())

    return make


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    return lambda *shape: np.random.default_rng(7).standard_normal(shape).astype(np.float32)
