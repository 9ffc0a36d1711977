from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rankwise.errors import ModelError
from rankwise.lowrank import Moments
from rankwise.models.fidelity import relative_error
from rankwise.models.network import only
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.onnx_session import TensorSession
from rankwise.models.source import load_network
from rankwise.records import LayerSpec


def load(path: Path, **options: object) -> OnnxNetwork:
    network = load_network(str(path), **options)  # type: ignore[arg-type]
    assert isinstance(network, OnnxNetwork)
    return network


def one_node(
    tmp_path: Path, op: str, weight: np.ndarray, shape: tuple[int, ...], bias=None, **attributes
) -> OnnxNetwork:
    tensors = [numpy_helper.from_array(weight.astype(np.float32), "w")]
    rank = max(len(shape), weight.ndim)
    if bias is not None:
        tensors.append(numpy_helper.from_array(bias.astype(np.float32), "b"))
    node = helper.make_node(op, ["x", *(t.name for t in tensors)], ["y"], "node", **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "one.onnx")
    return load(tmp_path / "one.onnx")


def answer(network, inputs):
    return only(network.outputs(inputs))


class TestLayers:
    def test_names_and_specs(self, make_onnx):
        network = load(make_onnx())
        assert network.input_shape == (1, 3, 10, 12)
        assert [(use.name, use.op) for use in network.layers] == [
            ("first", "conv2d"),
            ("second", "conv2d"),
            ("head", "linear"),
        ]
        first, second, head = (use.spec for use in network.layers)
        pads = (1, 1, 1, 1)
        assert first == LayerSpec("conv2d", 3, 8, (3, 10, 12), (3, 3), padding=pads)
        assert second is not None
        assert not second.bias
        assert head == LayerSpec("linear", 8, 5, (8,))

    def test_nodes_without_names_are_called_by_their_output(self, make_onnx):
        assert [u.name for u in load(make_onnx(named=False)).layers] == ["c1", "c2", "logits"]

    def test_names_are_unique(self, make_onnx, tmp_path):
        model = onnx.load(make_onnx())
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        convolutions[0].name, convolutions[1].name = "c2", ""
        onnx.save(model, tmp_path / "same.onnx")
        assert [u.name for u in load(tmp_path / "same.onnx").layers] == ["c2", "c2_", "head"]

    @pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
    @pytest.mark.parametrize("size", [(10, 11), (9, 8)])
    @pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
    @pytest.mark.parametrize("kernel", [(3, 3), (2, 4)])
    def test_auto_pad_is_worked_out(self, tmp_path, mode, size, strides, kernel):
        rng = np.random.default_rng(0)
        weight = rng.standard_normal((4, 3, *kernel))
        network = one_node(tmp_path, "Conv", weight, (1, 3, *size), auto_pad=mode, strides=strides)
        spec = network.layers[0].spec
        assert spec is not None
        inputs = rng.standard_normal((1, 3, *size)).astype(np.float32)
        outputs = answer(network, inputs)
        assert spec.output_shape == outputs.shape[1:]
        padded = {"pads": list(spec.padding), "strides": strides}
        again = one_node(tmp_path, "Conv", weight, (1, 3, *size), **padded)
        np.testing.assert_allclose(answer(again, inputs), outputs, atol=1e-5)

    def test_other_layers_carry_their_reason(self, tmp_path):
        network = one_node(tmp_path, "MatMul", np.ones((2, 3, 4)), (2, 5, 3))
        assert "axes" in network.layers[0].reason
        with pytest.raises(ModelError, match="axes"):
            network.weights("node")

    @pytest.mark.parametrize("bias", [np.arange(4.0), np.ones((1, 4)), np.array([3.0])])
    def test_weights_of_gemm(self, tmp_path, bias):
        weight = np.arange(12.0).reshape(3, 4)
        network = one_node(tmp_path, "Gemm", weight, (2, 3), bias=bias)
        found, found_bias = network.weights("node")
        inputs = np.random.default_rng(0).standard_normal((2, 3))
        np.testing.assert_allclose(
            answer(network, inputs), inputs @ found.T + found_bias, rtol=1e-5, atol=1e-5
        )

    def test_rows_of_a_matmul(self, tmp_path):
        network = one_node(tmp_path, "MatMul", np.ones((3, 4)), (2, 7, 3))
        assert network.layers[0].spec == LayerSpec("linear", 3, 4, (7, 3), bias=False)

    def test_shared_weight_makes_two_layers(self, make_onnx, tmp_path):
        model = onnx.load(make_onnx())
        node = next(n for n in model.graph.node if n.name == "second")
        again = helper.make_node("Conv", ["c2", node.input[1]], ["c3"], "third", pads=[1] * 4)
        place = list(model.graph.node).index(node)
        model.graph.node.insert(place + 1, again)
        model.graph.node[place + 2].input[0] = "c3"
        onnx.save(model, tmp_path / "shared.onnx")
        layers = load(tmp_path / "shared.onnx").layers
        assert [u.name for u in layers] == ["first", "second", "third", "head"]


class TestNormalised:
    @pytest.mark.parametrize("weights_as", ["constant", "identity"])
    @pytest.mark.parametrize("head", ["gemm", "gemm_t", "matmul"])
    def test_weights_however_they_are_kept(self, make_onnx, full_rank, noise, weights_as, head):
        plain = load(make_onnx("a.onnx", head=head))
        other = load(make_onnx("b.onnx", head=head, weights_as=weights_as))
        assert other.layers == plain.layers
        assert [n.op_type for n in other.model.graph.node] == [
            n.op_type for n in plain.model.graph.node
        ]
        inputs = noise(2, 3, 10, 12)
        assert np.array_equal(answer(other, inputs), answer(plain, inputs))
        for use in plain.layers:
            assert np.array_equal(other.weights(use.name)[0], plain.weights(use.name)[0])
        for chosen in full_rank(other):
            error = relative_error(answer(plain, inputs), answer(other.replaced(chosen), inputs))
            assert error < 1e-4

    def test_weights_that_are_rearranged_constants(self, make_onnx, tmp_path):
        model = onnx.load(make_onnx(head="gemm"))
        weight = next(t for t in model.graph.initializer if t.name == "w3")
        values = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values.T), "w3_turned"))
        model.graph.node.insert(0, helper.make_node("Transpose", ["w3_turned"], ["w3"]))
        shape = numpy_helper.from_array(np.array([8, 8, 3, 3]), "size")
        filling = numpy_helper.from_array(np.array([0.5], np.float32))
        model.graph.initializer.append(shape)
        model.graph.node.insert(
            0, helper.make_node("ConstantOfShape", ["size"], ["halves"], value=filling)
        )
        next(n for n in model.graph.node if n.name == "second").input[1] = "halves"
        onnx.save(model, tmp_path / "turned.onnx")
        network = load(tmp_path / "turned.onnx")
        assert np.array_equal(network.weights("head")[0], values.T)
        assert (network.weights("second")[0] == 0.5).all()
        assert {t.name for t in network.model.graph.initializer} == {
            "w1",
            "b1",
            "halves",
            "w3",
            "b3",
        }
        (before,) = TensorSession(model, ["logits"]).run(np.ones(network.input_shape))
        assert np.array_equal(answer(network, np.ones(network.input_shape)), before)

    def test_initializers_are_no_inputs(self, make_onnx):
        network = load(make_onnx(ir_version=3, opset=9))
        assert [value.name for value in network.model.graph.input] == ["input"]
        onnx.checker.check_model(network.model)

    def test_constant_that_is_an_output_stays(self, make_onnx, tmp_path):
        model = onnx.load(make_onnx())
        value = numpy_helper.from_array(np.ones(2, np.float32))
        model.graph.node.append(helper.make_node("Constant", [], ["two"], value=value))
        model.graph.output.append(helper.make_tensor_value_info("two", 1, [2]))
        onnx.save(model, tmp_path / "two.onnx")
        onnx.checker.check_model(load(tmp_path / "two.onnx").model)

    @pytest.mark.parametrize(
        "values", [{"value_float": 2.0}, {"value_floats": [2.0] * 12}, {"value_int": 3}]
    )
    def test_every_form_of_constant(self, make_onnx, tmp_path, values):
        model = onnx.load(make_onnx())
        nodes = [helper.make_node("Constant", [], ["value"], **values)]
        nodes.append(helper.make_node("Cast", ["value"], ["number"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", ["input", "number"], ["scaled"]))
        model.graph.node[0].input[0] = "scaled"
        for node in reversed(nodes):
            model.graph.node.insert(0, node)
        onnx.save(model, tmp_path / "c.onnx")
        network = load(tmp_path / "c.onnx")
        assert "Constant" not in {node.op_type for node in network.model.graph.node}
        (before,) = TensorSession(model, ["logits"]).run(np.ones(network.input_shape))
        assert np.array_equal(answer(network, np.ones(network.input_shape)), before)


class TestReplaced:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("opset", [9, 17])
    @pytest.mark.parametrize(
        "conv",
        [
            {},
            {"strides": [2, 2]},
            {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
            {"pads": [0, 1, 2, 3]},
            {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
            {"auto_pad": "SAME_LOWER", "strides": [2, 1]},
            {"auto_pad": "VALID", "strides": [1, 2]},
        ],
    )
    def test_full_rank_reproduces_the_output(self, make_onnx, full_rank, noise, conv, bias, opset):
        network = load(make_onnx(conv=conv, bias=bias, opset=opset))
        inputs = noise(3, 3, 10, 12)
        before = network.model.SerializeToString(deterministic=True)
        replacements = full_rank(network)
        assert len(replacements) >= 3
        for chosen in replacements:
            compressed = network.replaced(chosen)
            onnx.checker.check_model(compressed.model, full_check=True)
            assert relative_error(answer(network, inputs), answer(compressed, inputs)) < 1e-4
        assert network.model.SerializeToString(deterministic=True) == before

    def test_everything_else_stays(self, make_onnx, full_rank):
        network = load(make_onnx())
        chosen = {"second": full_rank(network)[0]["second"]}
        compressed = network.replaced(chosen).model
        assert compressed.metadata_props == network.model.metadata_props
        assert compressed.opset_import == network.model.opset_import
        assert compressed.graph.input == network.model.graph.input
        assert compressed.graph.output == network.model.graph.output
        untouched = [n for n in network.model.graph.node if n.name != "second"]
        assert all(node in compressed.graph.node for node in untouched)
        names = {tensor.name for tensor in compressed.graph.initializer}
        assert "w2" not in names
        assert {"w1", "b1", "w3", "b3"} <= names

    def test_replaced_twice(self, make_onnx, full_rank, noise):
        network = load(make_onnx())
        once = network.replaced({"second": full_rank(network)[0]["second"]})
        assert {"first", "head"} < {use.name for use in once.layers}
        assert len(once.layers) > len(network.layers)
        for chosen in full_rank(once):
            twice = once.replaced(chosen)
            inputs = noise(1, 3, 10, 12)
            assert relative_error(answer(network, inputs), answer(twice, inputs)) < 1e-4

    def test_open_batch_stays_open(self, make_onnx, full_rank, noise):
        path = make_onnx(input_shape=("N", 3, 10, 12))
        network = load(path)
        assert network.input_shape == (1, 3, 10, 12)
        assert load(path, batch=4).input_shape == (4, 3, 10, 12)
        compressed = network.replaced(full_rank(network)[0]).model
        assert compressed.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
        (outputs,) = TensorSession(compressed, ["output"]).run(noise(6, 3, 10, 12))
        assert outputs.shape == (6, 5)

    def test_weights_read_inside_a_branch_stay(self, make_onnx, full_rank, tmp_path):
        model = onnx.load(make_onnx())
        branch = helper.make_graph(
            [helper.make_node("ReduceSum", ["w2"], ["inner"], keepdims=0)],
            "branch",
            [],
            [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [])],
        )
        condition = numpy_helper.from_array(np.array(True), "yes")
        model.graph.initializer.append(condition)
        model.graph.node.append(
            helper.make_node("If", ["yes"], ["sum_w2"], then_branch=branch, else_branch=branch)
        )
        model.graph.output.append(helper.make_tensor_value_info("sum_w2", TensorProto.FLOAT, []))
        onnx.save(model, tmp_path / "branch.onnx")
        network = load(tmp_path / "branch.onnx")
        compressed = network.replaced({"second": full_rank(network)[0]["second"]})
        assert "w2" in {tensor.name for tensor in compressed.model.graph.initializer}
        answer(compressed, np.zeros(network.input_shape))


class TestOutputs:
    def test_fixed_batch_and_a_rest(self, make_onnx, noise):
        inputs = noise(5, 3, 10, 12)
        one = load(make_onnx("a.onnx"))
        four = load(make_onnx("b.onnx", input_shape=(4, 3, 10, 12)))
        np.testing.assert_allclose(answer(one, inputs), answer(four, inputs), rtol=1e-4, atol=1e-6)

    def test_inputs_of_another_shape(self, make_onnx):
        with pytest.raises(ModelError, match="does not run on an input of shape"):
            answer(load(make_onnx()), np.zeros((1, 3, 11, 12)))
        with pytest.raises(ModelError, match="no inputs"):
            answer(load(make_onnx()), np.zeros((0, 3, 10, 12)))

    def test_moments_are_numpys(self, make_onnx, noise):
        network = load(make_onnx(input_shape=(4, 3, 10, 12)))
        inputs = noise(6, 3, 10, 12)
        found = network.moments(inputs, {"first": ["outputs", "patches"], "head": ["outputs"]})
        session = TensorSession(network.model, ["c1"])
        filled = np.concatenate([inputs, inputs[:2]])
        c1 = np.concatenate([session.run(filled[:4])[0], session.run(filled[4:])[0]])[:6]
        expected = Moments.from_outputs(np.moveaxis(c1, 1, -1).reshape(-1, 8))
        assert found["first", "outputs"].count == 6 * 120
        assert found["head", "outputs"].count == 6
        np.testing.assert_allclose(found["first", "outputs"].second, expected.second, atol=1e-5)
        weight, bias = network.weights("first")
        patches = found["first", "patches"]
        assert patches.count == 6 * 120
        computed = weight.reshape(8, -1) @ patches.mean + (0 if bias is None else bias)
        np.testing.assert_allclose(computed, expected.mean, atol=1e-5)
        np.testing.assert_allclose(
            found["head", "outputs"].mean, answer(network, inputs).mean(0), rtol=1e-5
        )


LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


@pytest.mark.parametrize(
    ("name", "convolutions", "linear"),
    [("squeezenet", 26, 0), ("shufflenet", 49, 1), ("inception_v1", 57, 1)],
)
def test_public_topologies(name, convolutions, linear, noise):
    """Networks that the onnx package ships, with made-up weights."""
    path = LIGHT / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip("this onnx package ships no test networks")
    network = load(path)
    ops = [use.op for use in network.layers if use.spec is not None]
    assert (ops.count("conv2d"), ops.count("linear")) == (convolutions, linear)
    inputs = noise(*network.input_shape)
    model = onnx.load(path)
    makers = {output: node for node in model.graph.node for output in node.output}
    last = makers[model.graph.output[0].name]
    assert last.op_type == "Softmax"
    (before,) = TensorSession(model, [last.input[0]]).run(inputs)
    assert relative_error(before, answer(network, inputs)) < 1e-4
