"""What of an ONNX file's outputs is compared; the same as of the module that it is converted to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper

from rankwise.errors import ModelError
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.torch_network import TorchNetwork
from rankwise.ops.chain import LinkWeights
from rankwise.training.pair import pair_of

TYPES = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "b": TensorProto.BOOL}
SHAPE = (2, 3, 6, 6)


def node(op: str, inputs: str, outputs: str, **settings: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), outputs.split()[0], **settings)


def network(
    nodes: Sequence[NodeProto], outputs: dict[str, str], tmp_path: Path, batch: int = 2
) -> OnnxNetwork:
    """The nodes behind two convolutions of the input, which give `a` and `b`; outputs with their
    types."""
    rng = np.random.default_rng(0)
    shape = (batch, *SHAPE[1:])
    given = {
        "w": rng.normal(size=(4, 3, 1, 1)).astype(np.float32),
        "v": rng.normal(size=(4, 4, 1, 1)).astype(np.float32),
        "two": np.array([2]),
        "rows": np.array([0, -1]),
        "places": np.array([1, 4, 36]),
        "half": np.array(0.5, np.float32),
    }
    graph = helper.make_graph(
        [node("Conv", "x w", "a"), node("Conv", "a v", "b"), *nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TYPES[kind], None) for name, kind in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in given.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), tmp_path / "net.onnx")
    return OnnxNetwork.load(tmp_path / "net.onnx")


ENDS = [
    ([], {"b": "f"}, {"b": "b"}),
    ([], {"a": "f", "b": "f"}, {"a": "a", "b": "b"}),
    ([node("Softmax", "b", "p", axis=1)], {"p": "f"}, {"p": "b"}),
    (
        [node("Sigmoid", "b", "s"), node("Reshape", "s rows", "t"), node("Identity", "t", "p")],
        {"p": "f", "a": "f"},
        {"p": "b", "a": "a"},
    ),
    ([node("LogSoftmax", "b", "p", axis=1)], {"p": "f", "b": "f"}, {"p": "b"}),
    ([node("ArgMax", "b", "label", axis=1)], {"label": "i"}, {"label": "b"}),
    (
        [node("ArgMax", "b", "i", axis=1), node("Cast", "i", "label", to=TensorProto.FLOAT)],
        {"label": "f"},
        {"label": "b"},
    ),
    (
        [node("Softmax", "b", "p", axis=1), node("TopK", "p two", "best which", axis=1)],
        {"best": "f", "which": "i"},
        {"best": "b"},
    ),
    (
        [node("Sigmoid", "b", "s"), node("Greater", "s half", "over"), node("Not", "over", "no")],
        {"no": "b", "a": "f"},
        {"no": "b", "a": "a"},
    ),
    (
        [node("ArgMax", "b", "label", axis=1), node("Sigmoid", "b", "scores")],
        {"label": "i", "scores": "f"},
        {"scores": "b"},
    ),
    ([node("Greater", "a b", "over")], {"over": "b"}, {"over0": "a", "over1": "b"}),
    (
        [node("Relu", f"{'ab'[n % 2]}", f"r{n}") for n in range(7)],
        {f"r{n}": "f" for n in range(7)},
        {f"r{n}": f"r{n}" for n in range(7)},
    ),
    (
        [node("ReduceMean", "b", "mean", keepdims=0), node("Shape", "a", "size")],
        {"a": "f", "mean": "f", "size": "i"},
        {"a": "a"},
    ),
]


@pytest.mark.parametrize(("nodes", "outputs", "wanted"), ENDS)
def test_tensors_that_are_compared(
    nodes: list[NodeProto], outputs: dict[str, str], wanted: dict[str, str], tmp_path: Path
) -> None:
    file = network(nodes, outputs, tmp_path)
    names, tensors = file.compared
    assert tensors == wanted
    assert names.compared == tuple(wanted)
    rows = np.random.default_rng(1).normal(size=(3, *SHAPE[1:])).astype(np.float32)
    found = file.outputs(rows)
    assert list(found) == list(wanted)
    assert all(len(one) == 3 for one in found.values())


@pytest.mark.parametrize(("nodes", "outputs", "wanted"), ENDS)
def test_the_module_answers_the_same(
    nodes: list[NodeProto], outputs: dict[str, str], wanted: dict[str, str], tmp_path: Path
) -> None:
    """Also after a layer of it was replaced, which copies it."""
    file = network(nodes, outputs, tmp_path)
    converted = file.to_torch(compared=True)
    as_torch = TorchNetwork(converted.module, "net", SHAPE)
    rows = np.random.default_rng(1).normal(size=(3, *SHAPE[1:])).astype(np.float32)
    chain = as_torch.replaced({})
    for one in (as_torch, chain):
        found = one.outputs(rows)
        assert list(found) == list(wanted)
        for name, expected in file.outputs(rows).items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    file = network(
        [node("ReduceMean", "b", "mean", keepdims=0), node("Shape", "a", "size")],
        {"mean": "f", "size": "i"},
        tmp_path,
    )
    with pytest.raises(ModelError, match="size is of type int64") as refused:
        file.outputs(np.zeros(SHAPE, np.float32))
    assert "mean is one number for the whole batch" in str(refused.value)


@pytest.fixture
def detector(tmp_path: Path) -> OnnxNetwork:
    """Boxes and scores of 36 places, of which NonMaxSuppression keeps some."""
    return network(
        [
            node("Reshape", "a places", "flat"),
            node("Transpose", "flat", "boxes", perm=[0, 2, 1]),
            node("Sigmoid", "b", "s"),
            node("Reshape", "s places", "scores"),
            node("NonMaxSuppression", "boxes scores", "kept"),
        ],
        {"kept": "i"},
        tmp_path,
        batch=1,
    )


def test_boxes_that_are_kept_stand_for_boxes_and_scores(detector: OnnxNetwork) -> None:
    assert detector.compared[1] == {"kept0": "boxes", "kept1": "b"}
    found = detector.outputs(np.ones((3, *SHAPE[1:]), np.float32))
    assert {name: one.shape for name, one in found.items()} == {
        "kept0": (3, 36, 4),
        "kept1": (3, 4, 6, 6),
    }


def test_what_is_behind_need_not_be_converted(detector: OnnxNetwork) -> None:
    converted = detector.to_torch(compared=True)
    with torch.no_grad():
        answer = converted.module(torch.ones(1, *SHAPE[1:]))
    assert [tuple(one.shape) for one in answer] == [(1, 36, 4), (1, 4, 6, 6)]


def test_a_layer_that_nothing_compared_follows_from(tmp_path: Path) -> None:
    """It keeps its chain, and what is compared can be trained all the same."""
    from rankwise.lowrank import lower
    from rankwise.records import Decomposition

    file = network([node("ReduceMean", "b", "mean", keepdims=0)], {"a": "f", "mean": "f"}, tmp_path)
    use = next(use for use in file.layers if use.name == "b")
    assert use.spec is not None
    chain = lower(use.spec, Decomposition("svd", (1,)))
    links = tuple(LinkWeights(np.ones(link.weight_shape, np.float32)) for link in chain.links)
    pair = pair_of(file, {"b": (chain, links)})
    assert pair.chains == ()
    assert pair.network().replacements.keys() == {"b"}
