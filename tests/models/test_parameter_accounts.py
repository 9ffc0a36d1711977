"""Every parameter of a network is accounted for, and products cost what torch counts."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from rankwise.models.source import load_network, network_of_module
from rankwise.workflow.inspect import layers

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LARGE = ("light_vgg19", "light_bvlc_alexnet", "light_zfnet512")
"""Of which benchmarks/zoo.py looks after: half a gigabyte of weights each."""
FAMILIES = ("resnet18", "resnet50", "mobilenet_v2", "vgg16_bn")
"""One of each sort of block; benchmarks/zoo.py looks after all others."""
FILES = [path for path in sorted(LIGHT.glob("*.onnx")) if path.stem not in LARGE]


def flops_of(module: nn.Module, *shape: int) -> int:
    """Torch's own count: two for each multiply-accumulate."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(torch.zeros(shape))
    return counter.get_total_flops()


def all_macs(document) -> int:
    return sum(one.macs for one in document.layers) + (document.parameters.products_macs or 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_all_of_a_network_is_accounted_for(name):
    network = load_network(name, input_shape=(1, 3, 32, 32))
    module, document = network.module, layers(network)
    counts = document.parameters
    assert counts.total == sum(p.numel() for p in module.parameters())
    others = sum(one.parameters for one in counts.others)
    assert counts.decomposable + counts.other_layers + others == counts.total
    assert sum(one.params for one in document.layers) == counts.total - others
    assert 2 * all_macs(document) == flops_of(module, 1, 3, 32, 32)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_of_an_onnx_file_is_accounted_for(path):
    network = load_network(path)
    document = layers(network)
    floating = sum(
        numpy_helper.to_array(tensor).size
        for tensor in network.model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    )
    counts = document.parameters
    assert counts.total == floating
    others = sum(one.parameters for one in counts.others)
    assert sum(one.params for one in document.layers) + others == counts.total


class Odd(nn.Module):
    """Something of every kind: (n, 3, 8, 8) -> (n, 2, 3)."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.weight, self.bias = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(6))
        self.fc = nn.Linear(6, 4)
        self.rnn = nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(6, 5)
        self.both = nn.Bilinear(5, 5, 3)
        self.normal, self.prelu = nn.LayerNorm(3), nn.PReLU()
        self.words = nn.Embedding(7, 3)
        self.spare, self.unused = nn.Linear(3, 3), nn.Parameter(torch.zeros(11))

    def forward(self, x):
        x = F.conv2d(x, self.kernel).mean(dim=(2, 3))
        x = self.fc(F.linear(x, self.weight, self.bias))
        x, _ = self.rnn(torch.stack([x, x], dim=1))
        x, _ = self.gru(x)
        x = torch.relu(self.prelu(self.normal(self.both(x, x))) + self.words.weight[0])
        return x @ x.transpose(1, 2) @ x


def test_every_kind_of_holder_and_of_product():
    module = Odd()
    document = layers(network_of_module(module, (2, 3, 8, 8)))
    by_name = {one.name: one for one in document.layers}
    assert list(by_name) == ["kernel", "weight", "fc", "rnn", "gru", "both", "spare"]
    assert by_name["kernel"].op == "conv2d"
    assert by_name["weight"].op == "linear"
    assert by_name["kernel"].kinds
    macs = {name: one.macs for name, one in by_name.items()}
    assert macs["kernel"] == 4 * 27 * 6 * 6
    assert macs["weight"] == macs["fc"] == 24
    one_direction = 12 * (4 + 3) + 12 * (6 + 3)
    assert macs["rnn"] == 2 * 2 * one_direction
    assert macs["gru"] == 2 * 15 * (6 + 5)
    assert macs["both"] == 2 * 3 * 5 * 5
    assert not by_name["spare"].counted
    counts = document.parameters
    assert counts.products_macs == 2 * (2 * 2 * 3)
    assert counts.total == sum(p.numel() for p in module.parameters())
    kinds = {one.kind: (one.holders, one.parameters) for one in counts.others}
    assert kinds["normalisation"] == (["LayerNorm"], 6)
    assert kinds["embeddings"] == (["Embedding"], 21)
    assert kinds["other parameters"] == (["Odd", "PReLU"], 11 + 1)


def test_tied_weights_count_once_and_for_the_layer():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(9, 4)
            self.head = nn.Linear(4, 9, bias=False)
            self.head.weight = self.words.weight

        def forward(self, x):
            return self.head(x)

    counts = layers(network_of_module(Tied(), (2, 4))).parameters
    assert (counts.total, counts.decomposable, counts.others) == (36, 36, [])


def test_the_weight_that_is_a_norm_and_a_direction_is_the_layers():
    fc = nn.utils.parametrizations.weight_norm(nn.Linear(4, 9))
    counts = layers(network_of_module(nn.Sequential(fc), (2, 4))).parameters
    assert (counts.total, counts.decomposable) == (9 + 9 + 36, 9 + 9 + 36)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_int8_layers_have_their_parameters():
    module = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    small = torch.ao.quantization.quantize_dynamic(module, {nn.Linear})
    document = layers(network_of_module(small, (2, 8)))
    assert document.parameters.other_layers == document.parameters.total == 54 + 21
    assert not any(one.counted for one in document.layers)


def graph_of(nodes, initializers, shape, path):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "r", "c"])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return load_network(path)


def constant(name, *shape, kind=TensorProto.FLOAT):
    array = torch.ones(shape).numpy().astype(helper.tensor_dtype_to_np_dtype(kind))
    return numpy_helper.from_array(array, name)


def test_onnx_layers_of_other_kinds_cost_what_they_compute(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "conv", kernel_shape=[3]),
        helper.make_node("ConvTranspose", ["a", "w2"], ["b"], "up", kernel_shape=[2], strides=[2]),
        helper.make_node("MatMul", ["b", "b2"], ["c"], "square"),
        helper.make_node("Transpose", ["b"], ["b2"], "turn", perm=[0, 2, 1]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w3"], "floats"),
        helper.make_node("MatMul", ["c", "w3"], ["d"], "int8"),
        helper.make_node("Mul", ["d", "twice"], ["y"], "double"),
    ]
    nodes = [*nodes[:2], nodes[3], nodes[2], *nodes[4:]]
    given = [
        constant("w1", 5, 3, 3),
        constant("w2", 5, 4, 2),
        constant("q", 4, 6, kind=TensorProto.INT8),
        constant("scale"),
        constant("zero", kind=TensorProto.INT8),
        constant("twice", 6),
    ]
    document = layers(graph_of(nodes, given, (2, 3, 9), tmp_path / "odd.onnx"))
    macs = {one.name: one.macs for one in document.layers}
    assert macs == {
        "conv": 7 * 5 * 9,
        "up": 7 * 5 * 4 * 2,
        "square": 4 * 4 * 14,
        "int8": 4 * 4 * 6,
    }
    params = {one.name: one.params for one in document.layers}
    assert params == {"conv": 45, "up": 40, "square": 0, "int8": 24 + 2}
    counts = document.parameters
    assert [(one.kind, one.holders, one.parameters) for one in counts.others] == [
        ("other parameters", ["Mul"], 6)
    ]
    assert counts.total == 45 + 40 + 26 + 6
