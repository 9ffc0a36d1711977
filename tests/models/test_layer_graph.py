"""Layers and the places where their ways meet, against networks whose shape is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from rankwise.models.layer_graph import LayerGraph, contracted, layer_graph
from rankwise.models.source import load_network, network_of_module


def named(graph: LayerGraph) -> list[tuple[str, str]]:
    """Edges by the names of their ends."""
    names = [node.name for node in graph.nodes]
    return [(names[a], names[b]) for a, b in graph.edges]


@pytest.mark.parametrize(
    ("name", "layers", "blocks"), [("resnet18", 21, 8), ("mobilenet_v2", 53, 10)]
)
def test_the_zoo(name: str, layers: int, blocks: int) -> None:
    """As many additions as residual blocks: eight in ResNet-18, ten in MobileNetV2."""
    graph = layer_graph(load_network(name))
    assert graph is not None
    assert sum(node.layer for node in graph.nodes) == layers
    joins = [place for place, node in enumerate(graph.nodes) if not node.layer]
    assert len(joins) == blocks
    entering = [to for _, to in graph.edges]
    assert all(entering.count(join) == 2 for join in joins)
    assert all(a < b for a, b in graph.edges)


def test_an_onnx_file(tmp_path: Path) -> None:
    """Two ways from one layer meet again; a shape that is read on the way is no way."""
    ones = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "w")
    conv = [
        helper.make_node("Conv", ["x", "w"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["ar"], "relu"),
        helper.make_node("Conv", ["ar", "w"], ["b"], "second"),
        helper.make_node("Shape", ["b"], ["s"], "shape"),
        helper.make_node("Reshape", ["ar", "s"], ["r"], "reshape"),
        helper.make_node("Add", ["b", "r"], ["c"], "meet"),
        helper.make_node("Conv", ["c", "w"], ["y"], "last"),
    ]
    kind = TensorProto.FLOAT
    given, made = (helper.make_tensor_value_info(one, kind, (1, 4, 5, 5)) for one in "xy")
    graph = helper.make_graph(conv, "ways", [given], [made], [ones])
    path = tmp_path / "ways.onnx"
    onnx.save(
        helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]), path
    )
    found = layer_graph(load_network(path))
    assert found is not None
    ways = [("first", "second"), ("first", "meet"), ("second", "meet"), ("meet", "last")]
    assert sorted(named(found)) == sorted(ways)


class Undecided(nn.Module):
    """Goes on as its numbers say."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.one(x)
        return self.other(y) if y.sum() > -1e9 else y


def test_a_network_that_looks_at_its_numbers_has_no_graph() -> None:
    assert layer_graph(network_of_module(Undecided(), torch.ones(1, 4))) is None


def test_what_takes_one_way_on_is_passed_over() -> None:
    steps = [
        ("x", [], ["x"], "input", False),
        ("a", ["x"], ["a"], "conv2d", True),
        ("n", ["a"], ["n"], "Relu", False),
        ("twice", ["n", "a"], ["t"], "Add", False),
        ("b", ["t"], ["b"], "conv2d", True),
    ]
    assert named(contracted(steps)) == [("a", "b")]
