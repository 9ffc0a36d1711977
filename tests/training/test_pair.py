"""The original and its decomposed copy: weights go out to torch and home again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from rankwise.errors import ModelError
from rankwise.models.fidelity import relative_error
from rankwise.models.network import only
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.ops.chain import random_weights
from rankwise.ops.torch_writer import to_torch
from rankwise.testing.backend_cases import CHAINS
from rankwise.training.pair import link_weights, pair_of, parameter_groups


def test_torch_starts_where_the_plan_ends(network, ranks, replacements, rows):
    chains = replacements(network, ranks)
    pair = pair_of(network, chains)
    assert pair.chains == tuple(ranks)
    np.testing.assert_array_equal(
        only(pair.network().outputs(rows)), only(network.replaced(chains).outputs(rows))
    )


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_weights_of_every_sort_of_link_come_back(chain):
    weights = random_weights(chain)
    for given, found in zip(weights, link_weights(to_torch(chain, weights)), strict=True):
        np.testing.assert_array_equal(found.weight, given.weight)
        assert (found.bias is None) == (given.bias is None)


def test_what_is_learnt_goes_home(network, ranks, replacements, rows):
    pair = pair_of(network, replacements(network, ranks))
    before = pair.network()
    _change(pair.student)
    with torch.inference_mode():
        expected = pair.student(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(only(pair.network().outputs(rows)), expected, rtol=1e-5, atol=1e-5)
    assert relative_error(expected, only(before.outputs(rows))) > 1e-3


def test_a_clean_copy_takes_the_weights_home(network, ranks, replacements, rows):
    """Of a student that has another type by now and keeps a tensor of its last call."""
    pair = pair_of(network, replacements(network, ranks))
    expected = only(pair.network().outputs(rows))
    pair.student.last = pair.student.double()(torch.from_numpy(rows).double())
    home = pair.network()
    assert not hasattr(home.module, "last")
    np.testing.assert_allclose(only(home.outputs(rows)), expected, rtol=1e-5, atol=1e-6)


def test_a_tensor_of_the_file_is_one_thing():
    """Exporters merge equal ones; training would tell these apart."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("BatchNormalization", ["c", "one", "b", "b", "one"], ["y"], "bn"),
    ]
    names = {"w": np.ones((4, 3, 1, 1)), "one": np.ones(4), "b": np.zeros(4)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 12, 12))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 12, 12))],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in names.items()],
    )
    opset = helper.make_opsetid("", 17)
    file = OnnxNetwork(
        helper.make_model(graph, opset_imports=[opset], ir_version=8), "f", (1, 3, 12, 12)
    )
    with pytest.raises(ModelError, match="one tensor"):
        pair_of(file, {})


def test_all_outputs_of_a_graph_are_trained(rows):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["z"], "first"),
        helper.make_node("Conv", ["x", "v"], ["y"], "second"),
    ]
    weights = {"w": rows[:4, :, :1, :1], "v": rows[4:8, :, :1, :1]}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 12, 12))],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 4, 12, 12)) for n in "zy"],
        [numpy_helper.from_array(np.array(a), n) for n, a in weights.items()],
    )
    opset = helper.make_opsetid("", 17)
    file = OnnxNetwork(
        helper.make_model(graph, opset_imports=[opset], ir_version=8), "f", (1, 3, 12, 12)
    )
    assert {"first.weight", "second.weight"} <= set(pair_of(file, {}).student.state_dict())


@pytest.mark.slow  # the export
def test_onnx_weights_go_back_into_the_file(network, ranks, replacements, rows, tmp_path):
    file = OnnxNetwork.load(network.to_onnx(tmp_path / "net.onnx"))
    names = [use.name for use in file.layers]
    decisions = dict(zip(names, ranks.values(), strict=True))
    chains = replacements(file, decisions)
    pair = pair_of(file, chains)
    same = pair.network()
    assert isinstance(same, OnnxNetwork)
    expected = file.replaced(chains)
    assert [n.name for n in same.model.graph.node] == [n.name for n in expected.model.graph.node]
    np.testing.assert_allclose(only(same.outputs(rows)), only(expected.outputs(rows)), atol=1e-5)
    _change(pair.student)
    with torch.inference_mode():
        learnt = pair.student(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(only(pair.network().outputs(rows)), learnt, rtol=1e-4, atol=1e-5)


def test_groups_know_the_factors(network, ranks, replacements):
    pair = pair_of(network, replacements(network, ranks))
    groups = {group["name"]: group["params"] for group in parameter_groups(*_model(pair))}
    factors = {id(p) for path in ranks for p in pair.student.get_submodule(path).parameters()}
    assert {id(p) for p in groups["factors"]} == factors
    assert {id(p) for p in groups["rest"]} == {id(p) for p in pair.student.bn.parameters()}


def test_groups_leave_out_what_is_not_trained(network, ranks, replacements):
    pair = pair_of(network, replacements(network, ranks))
    pair.student.bn.requires_grad_(False)
    assert [group["name"] for group in parameter_groups(*_model(pair))] == ["factors"]


def _model(pair):
    return pair.student, pair.chains


def _change(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05)
