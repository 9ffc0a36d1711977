"""ONNX -> torch, held against onnxruntime: single operators, random graphs, real networks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rankwise.backends.base import FileWorkload, ModuleWorkload
from rankwise.errors import ModelError
from rankwise.models.onnx_file import normalised
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.onnx_session import TensorSession
from rankwise.models.onnx_to_torch import to_torch_module
from rankwise.models.onnx_to_torch_operators import OPERATORS
from rankwise.models.source import load_network
from rankwise.models.torch_network import TorchNetwork

RNG = np.random.default_rng(0)
IMAGE = (2, 4, 6, 8)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


Node = tuple[str, Sequence[str], Sequence[str], dict[str, Any]]


def model_of(
    nodes: Sequence[Node],
    constants: dict[str, np.ndarray],
    shape: Sequence[int] = IMAGE,
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    made = [
        helper.make_node(op, list(ins), list(outs), f"n{i}", **attributes)
        for i, (op, ins, outs, attributes) in enumerate(nodes)
    ]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return normalised(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def assert_same(model: onnx.ModelProto, shape: Sequence[int] = IMAGE, positive: bool = False):
    """Equal to onnxruntime, to 1e-4 of the largest output."""
    names = [output.name for output in model.graph.output]
    inputs = floats(*shape)
    inputs = np.abs(inputs) + np.float32(0.1) if positive else inputs
    expected = TensorSession(model, names).run(inputs)
    module = to_torch_module(model, shape).module
    with torch.inference_mode():
        outputs = module(torch.from_numpy(inputs))
    found = outputs if isinstance(outputs, tuple) else (outputs,)
    for one, two in zip(found, expected, strict=True):
        assert tuple(one.shape) == two.shape
        largest = max(float(np.abs(two).max(initial=0)), 1e-6)
        np.testing.assert_allclose(one.numpy(), two, atol=1e-4 * largest)


def one(op: str, constants: dict[str, np.ndarray] | None = None, /, opset=17, **attributes: Any):
    constants = constants or {}
    return model_of([(op, ["x", *constants], ["y"], attributes)], constants, opset=opset)


CONV = {"w": floats(6, 4, 3, 3), "b": floats(6)}
CASES: dict[str, tuple[onnx.ModelProto, dict[str, Any]]] = {
    **{op: (one(op), {}) for op in (
        *("Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus"),
        *("Erf", "Exp", "Abs", "Neg", "Floor", "Ceil", "Identity", "Softmax", "LogSoftmax"),
        *("GlobalAveragePool", "GlobalMaxPool", "Flatten", "Dropout"),
        *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"),
    )},
    **{op: (one(op), {"positive": True}) for op in ("Log", "Sqrt", "Reciprocal")},
    "Gelu": (one("Gelu", opset=20), {}),
    "Gelu tanh": (one("Gelu", opset=20, approximate="tanh"), {}),
    "Conv": (one("Conv", CONV, pads=[1] * 4), {}),
    "Conv uneven": (one("Conv", CONV, pads=[0, 1, 2, 0], strides=[2, 1]), {}),
    "Conv same": (one("Conv", CONV, auto_pad="SAME_UPPER", strides=[2, 2]), {}),
    "Conv lower": (one("Conv", CONV, auto_pad="SAME_LOWER", strides=[2, 2]), {}),
    "Conv dilated": (one("Conv", CONV, dilations=[2, 2], pads=[2] * 4), {}),
    "Conv groups": (one("Conv", {"w": floats(8, 2, 3, 3)}, group=2), {}),
    "ConvTranspose": (
        one("ConvTranspose", {"w": floats(4, 3, 3, 3)}, strides=[2, 2], output_padding=[1, 1]),
        {},
    ),
    "ConvTranspose groups": (one("ConvTranspose", {"w": floats(4, 3, 2, 2)}, group=2), {}),
    "BatchNormalization": (
        one("BatchNormalization",
            {"s": floats(4), "b": floats(4), "m": floats(4), "v": np.abs(floats(4)) + 1}),
        {},
    ),
    "InstanceNormalization": (one("InstanceNormalization", {"s": floats(4), "b": floats(4)}), {}),
    "LayerNormalization": (one("LayerNormalization", {"s": floats(8), "b": floats(8)}), {}),
    "MaxPool": (one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), {}),
    "MaxPool uneven": (one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]), {}),
    "MaxPool ceil": (one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), {}),
    "MaxPool same": (
        one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        {},
    ),
    "AveragePool": (one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4), {}),
    "AveragePool counted": (
        one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
        {},
    ),
    "AveragePool uneven": (one("AveragePool", kernel_shape=[3, 3], pads=[0, 1, 1, 0]), {}),
    "AveragePool uneven counted": (
        one("AveragePool", kernel_shape=[3, 3], pads=[0, 1, 1, 0], count_include_pad=1),
        {},
    ),
    "AveragePool same": (
        one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        {},
    ),
    "PRelu": (one("PRelu", {"s": floats(4, 1, 1)}), {}),
    "Clip": (one("Clip", {"lo": np.float32(-0.5), "hi": np.float32(0.7)}), {}),
    "Clip 6": (one("Clip", opset=9, min=0.0, max=6.0), {}),
    "Clip one side": (one("Clip", {"lo": np.float32(-0.5)}), {}),
    "Add": (one("Add", {"c": floats(4, 1, 1)}), {}),
    "Sub": (one("Sub", {"c": np.float32(2.5)}), {}),
    "Mul": (one("Mul", {"c": floats(1)}), {}),
    "Div": (one("Div", {"c": floats(8)}), {}),
    "Pow": (one("Pow", {"c": np.float32(2)}), {}),
    "Sum": (model_of([("Sum", ["x", "x", "c"], ["y"], {})], {"c": floats(8)}), {}),
    "Mean": (model_of([("Mean", ["x", "c", "c"], ["y"], {})], {"c": floats(8)}), {}),
    "Max": (one("Max", {"c": floats(8)}), {}),
    "Min": (one("Min", {"c": floats(8)}), {}),
    "Where": (
        model_of([("Where", ["k", "x", "c"], ["y"], {})],
                 {"k": np.array([True, False] * 4), "c": floats(8)}),
        {},
    ),
    "LRN": (one("LRN", size=3, alpha=0.01, beta=0.7, bias=1.5), {}),
    "Cast": (
        model_of([("Cast", ["x"], ["i"], {"to": 7}), ("Cast", ["i"], ["y"], {"to": 1})], {}),
        {},
    ),
    "Softmax old": (one("Softmax", opset=11), {}),
    "Softmax axis": (one("Softmax", axis=1), {}),
    "Flatten 2": (one("Flatten", axis=2), {}),
    "Reshape": (one("Reshape", {"s": ints(0, 2, -1)}), {}),
    "Transpose": (one("Transpose", perm=[0, 2, 3, 1]), {}),
    "Squeeze": (
        model_of([("Unsqueeze", ["x", "a"], ["u"], {}), ("Squeeze", ["u", "b"], ["y"], {})],
                 {"a": ints(0, -1), "b": ints(0)}),
        {},
    ),
    "Unsqueeze old": (one("Unsqueeze", opset=11, axes=[1, 3]), {}),
    "Concat": (model_of([("Concat", ["x", "x"], ["y"], {"axis": 2})], {}), {}),
    "Split": (
        model_of([("Split", ["x", "s"], ["y", "z"], {"axis": 1})], {"s": ints(1, 3)},
                 outputs=("y", "z")),
        {},
    ),
    "Split evenly": (
        model_of([("Split", ["x"], ["a", "b"], {"axis": 3}), ("Mul", ["a", "b"], ["y"], {})], {}),
        {},
    ),
    "Slice": (
        one("Slice", {"s": ints(1, -3), "e": ints(2**62, -1), "a": ints(1, 3), "t": ints(2, 1)}),
        {},
    ),
    "Slice old": (one("Slice", opset=9, starts=[1], ends=[3], axes=[2]), {}),
    "Gather": (one("Gather", {"i": ints(2, -1, 0)}, axis=3), {}),
    "Gather one": (one("Gather", {"i": np.array(-1, np.int64)}, axis=2), {}),
    "Pad": (one("Pad", {"p": ints(0, 1, 2, 0, 0, 0, 1, 3), "v": np.float32(0.5)}), {}),
    "Pad reflect": (one("Pad", {"p": ints(0, 0, 2, 1, 0, 0, 1, 3)}, mode="reflect"), {}),
    "Pad edge": (one("Pad", {"p": ints(0, 0, 2, 1, 0, 0, 1, 3)}, mode="edge"), {}),
    "Expand": (
        model_of([("ReduceMean", ["x"], ["m"], {"axes": [3]}), ("Expand", ["m", "s"], ["y"], {})],
                 {"s": ints(1, 1, 1, 5)}),
        {},
    ),
    "DepthToSpace": (one("DepthToSpace", blocksize=2), {}),
    "DepthToSpace CRD": (one("DepthToSpace", blocksize=2, mode="CRD"), {}),
    "SpaceToDepth": (one("SpaceToDepth", blocksize=2), {}),
    "Resize": (
        model_of([("Resize", ["x", "", "s"], ["y"],
                   {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                    "nearest_mode": "floor"})], {"s": np.array([1, 1, 2, 3], np.float32)}),
        {},
    ),
    "Resize half pixel": (
        model_of([("Resize", ["x", "", "s"], ["y"], {"mode": "nearest"})],
                 {"s": np.array([1, 1, 2, 2], np.float32)}),
        {},
    ),
    "Resize linear": (
        model_of([("Resize", ["x", "", "", "s"], ["y"], {"mode": "linear"})],
                 {"s": ints(2, 4, 9, 13)}),
        {},
    ),
    "Resize corners": (
        model_of([("Resize", ["x", "", "", "s"], ["y"],
                   {"mode": "linear", "coordinate_transformation_mode": "align_corners"})],
                 {"s": ints(2, 4, 9, 13)}),
        {},
    ),
    "Resize by what gives no whole size": (
        model_of([("Resize", ["x", "", "s"], ["y"], {"mode": "linear"})],
                 {"s": np.array([1, 1, 1.5, 0.7], np.float32)}),
        {},
    ),
    "Resize of opset 10": (
        one("Resize", {"s": np.array([1, 1, 2, 2], np.float32)}, opset=10), {}
    ),
    "Upsample": (one("Upsample", {"s": np.array([1, 1, 2, 2], np.float32)}, opset=9), {}),
    "MatMul": (one("MatMul", {"w": floats(8, 5)}), {}),
    "MatMul of two": (model_of([("Transpose", ["x"], ["t"], {"perm": [0, 1, 3, 2]}),
                                ("MatMul", ["x", "t"], ["y"], {})], {}), {}),
    "MatMul bias": (model_of([("MatMul", ["x", "w"], ["p"], {}), ("Add", ["b", "p"], ["y"], {})],
                             {"w": floats(8, 5), "b": floats(5)}), {}),
    "Gemm": (one("Gemm", {"w": floats(8, 5), "b": floats(1, 5)}), {"shape": (3, 8)}),
    "Gemm turned": (one("Gemm", {"w": floats(5, 8), "b": floats(5)}, transB=1), {"shape": (3, 8)}),
    "Gemm one bias": (
        one("Gemm", {"w": floats(5, 8), "b": floats(1)}, transB=1),
        {"shape": (3, 8)},
    ),
    "Gemm general": (
        one("Gemm", {"w": floats(3, 5), "b": floats(8, 5)}, transA=1, alpha=0.5, beta=2.0),
        {"shape": (3, 8)},
    ),
    "shape arithmetic": (
        model_of(
            [("Shape", ["x"], ["s"], {}), ("Gather", ["s", "i"], ["n"], {}),
             ("Unsqueeze", ["n", "zero"], ["n1"], {}),
             ("Concat", ["n1", "rest"], ["t"], {"axis": 0}), ("Reshape", ["x", "t"], ["y"], {})],
            {"i": np.array(0, np.int64), "zero": ints(0), "rest": ints(-1)},
        ),
        {},
    ),
}  # fmt: skip


def with_shape(model: onnx.ModelProto, shape: Sequence[int]) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    model.graph.input[0].CopyFrom(value)
    return model


def resized(scales: list[float], **given: object) -> onnx.ModelProto:
    return model_of([("Resize", ["x", "", "s"], ["y"], given)], {"s": np.array(scales, np.float32)})


@pytest.mark.parametrize("case", CASES)
def test_an_operator_does_what_onnxruntime_does(case):
    model, how = CASES[case]
    shape = how.get("shape", IMAGE)
    assert_same(with_shape(model, shape), shape, how.get("positive", False))


def test_every_operator_has_a_case():
    seen = {node.op_type for model, _ in CASES.values() for node in model.graph.node}
    assert set(OPERATORS) <= seen


UNARY = ("Relu", "Sigmoid", "Tanh", "HardSwish", "Abs", "LeakyRelu", "Softmax")


@st.composite
def random_graphs(draw) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """Convolutions, norms, pools and branches in any order, on small pictures."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    channels, size = draw(st.integers(1, 5)), 9
    shape = (draw(st.integers(1, 3)), channels, size, size)
    nodes: list[Node] = []
    constants: dict[str, np.ndarray] = {}
    alive = [("x", channels, (size, size))]

    def constant(*dims: int) -> str:
        name = f"c{len(constants)}"
        constants[name] = rng.standard_normal(dims).astype(np.float32)
        return name

    for number in range(draw(st.integers(1, 8))):
        name, width, sides = draw(st.sampled_from(alive))
        out, what = f"t{number}", draw(st.sampled_from(["conv", "norm", "pool", "unary", "join"]))
        if what == "conv":
            outs, kernel = draw(st.integers(1, 6)), draw(st.integers(1, min(3, *sides)))
            pads = [draw(st.integers(0, 2)) for _ in range(4)]
            stride = draw(st.integers(1, 2))
            operands = [name, constant(outs, width, kernel, kernel)]
            operands += [constant(outs)] if draw(st.booleans()) else []
            pads = [pads[0], pads[1], pads[0] + pads[2] % 2, pads[1] + pads[2] % 2]
            nodes.append(("Conv", operands, [out], {"pads": pads, "strides": [stride, stride]}))
            sides = tuple(
                (side + pads[axis] + pads[axis + 2] - kernel) // stride + 1
                for axis, side in enumerate(sides)
            )
            width = outs
        elif what == "norm":
            positive = constant(width)
            constants[positive] = np.abs(constants[positive]) + np.float32(0.5)
            operands = [name, constant(width), constant(width), constant(width), positive]
            nodes.append(("BatchNormalization", operands, [out], {}))
        elif what == "pool" and min(sides) >= 2:
            op = draw(st.sampled_from(["MaxPool", "AveragePool"]))
            pads = draw(st.sampled_from([[0] * 4, [1, 1, 0, 0], [0, 0, 1, 1], [1] * 4]))
            nodes.append((op, [name], [out], {"kernel_shape": [2, 2], "pads": pads}))
            sides = tuple(side + pads[a] + pads[a + 2] - 1 for a, side in enumerate(sides))
        elif what == "join":
            others = [a for a in alive if a[1:] == (width, sides)]
            other = draw(st.sampled_from(others))[0]
            if draw(st.booleans()):
                nodes.append(("Add", [name, other], [out], {}))
            else:
                nodes.append(("Concat", [name, other], [out], {"axis": 1}))
                width *= 2
        else:
            nodes.append((draw(st.sampled_from(UNARY)), [name], [out], {}))
        alive.append((out, width, sides))
    outputs = list(dict.fromkeys(name for name, *_ in alive[-2:] if name != "x"))
    return model_of(nodes, constants, shape, outputs=outputs), shape


@settings(max_examples=40)
@given(random_graphs())
def test_random_graphs_give_the_same(graph):
    model, shape = graph
    assert_same(model, shape)


class TestRefusals:
    def test_an_unknown_operator_is_named(self):
        with pytest.raises(ModelError, match="no torch counterpart for the ONNX operator Det, Sin"):
            to_torch_module(
                model_of([("Sin", ["x"], ["s"], {}), ("Det", ["s"], ["y"], {})], {}, (1, 2, 3, 3)),
                (1, 2, 3, 3),
            )

    @pytest.mark.parametrize(
        ("model", "word"),
        [
            (one("LRN", size=2), "LRN .*even size"),
            (one("Slice", {"s": ints(3), "e": ints(0), "a": ints(3), "t": ints(-1)}), "Slice"),
            (one("Cast", to=10), "Cast .*float16"),
            (
                one("Resize", {"s": np.array([1, 1, 2, 2], np.float32)}, opset=10, mode="linear"),
                "Resize .*asymmetric",
            ),
            (resized([1, 1, 2, 2], mode="nearest", nearest_mode="ceil"), "Resize .*nearest"),
            (
                resized(
                    [1, 1, 2.1, 2],
                    mode="nearest",
                    nearest_mode="floor",
                    coordinate_transformation_mode="asymmetric",
                ),
                "Resize .*nearest",
            ),
        ],
    )
    def test_a_variant_that_is_not_converted_says_why(self, model, word):
        with pytest.raises(ModelError, match=word):
            to_torch_module(model, IMAGE)


class TestNames:
    def test_layers_keep_their_names(self, make_onnx):
        network = load_network(str(make_onnx()))
        converted = network.to_torch()
        assert {name: name for name in ("first", "second", "head")} == dict(converted.names)
        assert isinstance(converted.module.get_submodule("first"), torch.nn.Conv2d)

    def test_layers_have_the_specs_of_the_file(self, make_onnx):
        network = load_network(str(make_onnx(conv={"auto_pad": "SAME_UPPER", "strides": [2, 2]})))
        module = network.to_torch().module
        other = TorchNetwork.of(module, "converted", network.input_shape)
        assert [(u.name, u.spec) for u in other.layers] == [
            (u.name, u.spec) for u in network.layers
        ]

    @pytest.mark.parametrize(
        "name", ['a"); raise SystemExit(7); ("', "forward", "training", "a..b", "", "meta", "x y"]
    )
    def test_a_name_that_torch_cannot_have_is_replaced_and_runs_nothing(self, name):
        model = one("Conv", CONV, pads=[1] * 4)
        model.graph.node[0].name = name
        converted = to_torch_module(model, IMAGE)
        (path,) = converted.names.values()
        assert path.replace("_", "").isalnum() and path != name
        assert isinstance(converted.module.get_submodule(path), torch.nn.Conv2d)
        assert_same(model)

    def test_names_that_contain_one_another(self):
        model = model_of(
            [("Conv", ["x", "w"], ["a"], {}), ("Conv", ["a", "v"], ["y"], {})],
            {"w": floats(3, 4, 1, 1), "v": floats(2, 3, 1, 1)},
        )
        model.graph.node[0].name, model.graph.node[1].name = "block", "block.weight"
        assert to_torch_module(model, IMAGE).names == {
            "block": "block_",
            "block.weight": "block.weight",
        }
        assert_same(model)


class TestNetwork:
    def test_a_converter_that_is_wrong_does_not_pass(self, make_onnx, monkeypatch):
        network = load_network(str(make_onnx()))
        monkeypatch.setitem(OPERATORS, "Relu", OPERATORS["Sigmoid"])
        with pytest.raises(ModelError, match="otherwise than the file"):
            network.to_torch(compared=True)

    def test_a_plan_applies_to_both_sides_alike(self, make_onnx, full_rank, noise):
        network = load_network(str(make_onnx()))
        other = TorchNetwork.of(network.to_torch(compared=True).module, "t", network.input_shape)
        inputs = noise(3, 3, 10, 12)
        for replacements in full_rank(network):
            expected = network.replaced(replacements).outputs(inputs)
            np.testing.assert_allclose(
                other.replaced(replacements).outputs(inputs), expected, rtol=1e-4, atol=1e-4
            )

    def test_weights_go_back_into_the_file(self, make_onnx, noise):
        network = load_network(str(make_onnx(head="gemm")))
        converted = network.to_torch(compared=True)
        with torch.no_grad():
            for parameter in converted.module.parameters():
                parameter.add_(0.01)
        changed = network.with_state(converted, converted.module.state_dict())
        inputs = noise(1, 3, 10, 12)
        with torch.inference_mode():
            expected = converted.module(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(changed.outputs(inputs), expected, rtol=1e-4, atol=1e-5)
        assert not np.allclose(network.outputs(inputs), expected, rtol=1e-4, atol=1e-5)
        onnx.checker.check_model(changed.model)

    def test_the_batch_may_change(self, make_onnx, noise):
        network = load_network(str(make_onnx(input_shape=("N", 3, 10, 12))))
        module = network.to_torch(compared=True).module
        inputs = noise(3, 3, 10, 12)
        with torch.inference_mode():
            found = module(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(found, network.outputs(inputs), rtol=1e-4, atol=1e-5)

    def test_backends_that_take_modules_get_one(self, make_onnx, tmp_path):
        network = load_network(str(make_onnx()))
        assert isinstance(network.workload("k", [ModuleWorkload], tmp_path), ModuleWorkload)
        both = network.workload("k", [ModuleWorkload, FileWorkload], tmp_path)
        assert isinstance(both, FileWorkload)

    def test_written_as_pt2(self, make_onnx, tmp_path, noise):
        network = load_network(str(make_onnx()))
        network.save(tmp_path / "net.pt2")
        program = torch.export.load(tmp_path / "net.pt2").module()
        inputs = torch.from_numpy(noise(1, 3, 10, 12))
        expected = network.to_torch().module(inputs)
        torch.testing.assert_close(program(inputs), expected)


LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "inception_v2", "densenet121"])
def test_published_topologies(name):
    """Architectures that the onnx package ships; its constant weights hide nothing here,
    because the input is noise."""
    network = OnnxNetwork.load(LIGHT / f"light_{name}.onnx")
    assert_same(network.model, network.input_shape)


def test_a_published_network():
    cache = Path(os.environ.get("RANKWISE_CACHE") or Path.home() / ".cache/rankwise")
    if not (cache / "open-nsfw.onnx").exists():
        pytest.skip("open-nsfw.onnx was not fetched (examples/assets.py does)")
    network = OnnxNetwork.load(cache / "open-nsfw.onnx")
    last = next(n for n in network.model.graph.node if n.op_type == "MatMul").input[0]
    inputs = floats(2, 224, 224, 3) * 60
    expected = TensorSession(network.model, [last]).run(inputs[:1])[0]
    module = to_torch_module(network.model, network.input_shape, [last]).module
    with torch.inference_mode():
        found = module(torch.from_numpy(inputs)).numpy()[:1]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert all(name == path for name, path in network.to_torch().names.items())


@pytest.mark.slow
def test_an_exported_network_comes_back(tmp_path):
    """The exporter folds batch normalisation, so it is outputs that are compared."""
    network = load_network("mobilenet_v2", input_shape=(1, 3, 64, 64))
    file = OnnxNetwork.load(network.to_onnx(tmp_path / "net.onnx"))
    inputs = floats(2, 3, 64, 64)
    with torch.inference_mode():
        found = file.to_torch().module(torch.from_numpy(inputs)).numpy()
    expected = network.outputs(inputs)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
