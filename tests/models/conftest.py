"""Small networks that hold what real ones hold: residuals, in-place ReLU, odd paddings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
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

sys.path.insert(0, str(Path(__file__).parent / "lib"))  # what several test modules share


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


class OnnxNet:
    """conv -> relu -> conv (residual) -> pool -> linear -> softmax as an ONNX model.

    `weights_as`: initializer, constant (nodes) or identity (of initializers); `conv`: attributes
    of the first convolution; `head`: gemm, gemm_t, matmul; `input_shape`: names are open sizes.
    """

    def __init__(self, weights_as: str, bias: bool, head: str, named: bool) -> None:
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
        self.head, self.named = head, named
        self.initializers = [
            numpy_helper.from_array(array.astype(np.float32), key) for key, array in tensors.items()
        ]
        self.names = {key: key for key in tensors}
        self.nodes: list[onnx.NodeProto] = []
        if weights_as == "constant":
            for tensor in self.initializers:
                self.add("Constant", [], tensor.name, value=tensor)
            self.initializers = []
        elif weights_as == "identity":
            self.names = {key: f"{key}_same" for key in tensors}
            for key in tensors:
                self.add("Identity", [key], self.names[key])

    def add(
        self, op: str, inputs: Sequence[str], output: str, name: str = "", **given: Any
    ) -> None:
        name = name if self.named else ""
        self.nodes.append(helper.make_node(op, inputs, [output], name, **given))

    def add_body(self, conv: Mapping[str, Any]) -> None:
        names = self.names
        bias = [names["b1"]] if "b1" in names else []
        self.add("Conv", ["input", names["w1"], *bias], "c1", "first", **conv)
        self.add("Relu", ["c1"], "r1", "relu")
        self.add("Conv", ["r1", names["w2"]], "c2", "second", pads=[1] * 4)
        self.add("Add", ["c2", "r1"], "sum", "add")
        self.add("GlobalAveragePool", ["sum"], "pooled", "pool")
        self.add("Flatten", ["pooled"], "flat", "flatten")

    def add_head(self) -> None:
        names = self.names
        if self.head == "matmul":
            self.add("MatMul", ["flat", names["w3"]], "product", "head")
            self.add("Add", ["product", names["b3"]], "logits", "head_bias")
        else:
            turned = {"transB": 1} if self.head == "gemm_t" else {}
            self.add("Gemm", ["flat", names["w3"], names["b3"]], "logits", "head", **turned)
        self.add("Softmax", ["logits"], "output", "softmax", axis=1)

    def model(
        self, input_shape: tuple[int | str, ...], opset: int, ir_version: int
    ) -> onnx.ModelProto:
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape)]
        if ir_version < 4:
            inputs += [helper.make_tensor_value_info(t.name, 1, t.dims) for t in self.initializers]
        outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [input_shape[0], 5])]
        graph = helper.make_graph(self.nodes, "net", inputs, outputs, self.initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
        )
        model.metadata_props.add(key="author", value="a test")
        return model


@pytest.fixture
def make_onnx(tmp_path: Path) -> OnnxMaker:
    """Writes an `OnnxNet` as one file."""

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
        given = dict(conv or {})
        net = OnnxNet(weights_as, bias, head, named)
        net.add_body(given if "auto_pad" in given else {"pads": [1] * 4, **given})
        net.add_head()
        onnx.save(net.model(input_shape, opset, ir_version), tmp_path / name)
        return tmp_path / name

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
