"""ONNX -> torch, held against onnxruntime: random graphs, refusals, names, real networks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import CONV, IMAGE, Node, assert_same, floats, ints, model_of, one

from rankwise.backends.base import FileWorkload, ModuleWorkload
from rankwise.errors import ModelError
from rankwise.models.network import only
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.onnx_session import TensorSession
from rankwise.models.onnx_to_torch.conversion import OPERATORS, to_torch_module
from rankwise.models.source import load_network
from rankwise.models.torch_network import TorchNetwork
from rankwise.sources.zoo import mobilenet

UNARY = ("Relu", "Sigmoid", "Tanh", "HardSwish", "Abs", "LeakyRelu", "Softmax")
Sides = tuple[int, ...]


class Graph:
    """Grows by nodes that are drawn, on small pictures."""

    def __init__(self, draw) -> None:
        self.draw, self.rng = draw, np.random.default_rng(draw(st.integers(0, 2**16)))
        channels, size = draw(st.integers(1, 5)), 9
        self.shape = (draw(st.integers(1, 3)), channels, size, size)
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.alive = [("x", channels, (size, size))]

    def constant(self, *dims: int) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = self.rng.standard_normal(dims).astype(np.float32)
        return name

    def grow(self) -> None:
        name, width, sides = self.draw(st.sampled_from(self.alive))
        steps = [self.conv, self.norm, self.unary, self.join]
        step = self.draw(st.sampled_from([*steps, self.pool] if min(sides) >= 2 else steps))
        out = f"t{len(self.nodes)}"
        self.alive.append((out, *step(name, out, width, sides)))

    def conv(self, name: str, out: str, width: int, sides: Sides) -> tuple[int, Sides]:
        draw = self.draw
        outs, kernel = draw(st.integers(1, 6)), draw(st.integers(1, min(3, *sides)))
        top, left, more = (draw(st.integers(0, 2)) for _ in range(3))
        pads = [top, left, top + more % 2, left + more % 2]
        stride = draw(st.integers(1, 2))
        operands = [name, self.constant(outs, width, kernel, kernel)]
        operands += [self.constant(outs)] if draw(st.booleans()) else []
        self.nodes.append(("Conv", operands, [out], {"pads": pads, "strides": [stride, stride]}))
        return outs, tuple(
            (side + pads[axis] + pads[axis + 2] - kernel) // stride + 1
            for axis, side in enumerate(sides)
        )

    def norm(self, name: str, out: str, width: int, sides: Sides) -> tuple[int, Sides]:
        scale, shift, mean, variance = (self.constant(width) for _ in range(4))
        self.constants[variance] = np.abs(self.constants[variance]) + np.float32(0.5)
        self.nodes.append(("BatchNormalization", [name, scale, shift, mean, variance], [out], {}))
        return width, sides

    def pool(self, name: str, out: str, width: int, sides: Sides) -> tuple[int, Sides]:
        op = self.draw(st.sampled_from(["MaxPool", "AveragePool"]))
        pads = self.draw(st.sampled_from([[0] * 4, [1, 1, 0, 0], [0, 0, 1, 1], [1] * 4]))
        self.nodes.append((op, [name], [out], {"kernel_shape": [2, 2], "pads": pads}))
        return width, tuple(side + pads[a] + pads[a + 2] - 1 for a, side in enumerate(sides))

    def join(self, name: str, out: str, width: int, sides: Sides) -> tuple[int, Sides]:
        alike = [other for other, *size in self.alive if size == [width, sides]]
        other = self.draw(st.sampled_from(alike))
        added = self.draw(st.booleans())
        op, given = ("Add", {}) if added else ("Concat", {"axis": 1})
        self.nodes.append((op, [name, other], [out], given))
        return width if added else 2 * width, sides

    def unary(self, name: str, out: str, width: int, sides: Sides) -> tuple[int, Sides]:
        self.nodes.append((self.draw(st.sampled_from(UNARY)), [name], [out], {}))
        return width, sides


@st.composite
def random_graphs(draw) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """Convolutions, norms, pools and branches in any order."""
    graph = Graph(draw)
    for _ in range(draw(st.integers(1, 8))):
        graph.grow()
    outputs = [name for name, *_ in graph.alive[-2:] if name != "x"]
    return model_of(graph.nodes, graph.constants, graph.shape, outputs=outputs), graph.shape


@settings(max_examples=40)
@given(random_graphs())
def test_random_graphs_give_the_same(graph):
    model, shape = graph
    assert_same(model, shape)


def resized(scales: list[float], **given: object) -> onnx.ModelProto:
    return model_of([("Resize", ["x", "", "s"], ["y"], given)], {"s": np.array(scales, np.float32)})


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
        assert path.replace("_", "").isalnum()
        assert path != name
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
            expected = only(network.replaced(replacements).outputs(inputs))
            np.testing.assert_allclose(
                only(other.replaced(replacements).outputs(inputs)), expected, rtol=1e-4, atol=1e-4
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
        np.testing.assert_allclose(only(changed.outputs(inputs)), expected, rtol=1e-4, atol=1e-5)
        assert not np.allclose(only(network.outputs(inputs)), expected, rtol=1e-4, atol=1e-5)
        onnx.checker.check_model(changed.model)

    def test_the_batch_may_change(self, make_onnx, noise):
        network = load_network(str(make_onnx(input_shape=("N", 3, 10, 12))))
        module = network.to_torch(compared=True).module
        inputs = noise(3, 3, 10, 12)
        with torch.inference_mode():
            found = module(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(found, only(network.outputs(inputs)), rtol=1e-4, atol=1e-5)

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
    module = to_torch_module(network.model, network.input_shape, {"last": last}).module
    with torch.inference_mode():
        found = module(torch.from_numpy(inputs)).numpy()[:1]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert all(name == path for name, path in network.to_torch().names.items())


@pytest.mark.slow
def test_an_exported_network_comes_back(tmp_path, monkeypatch):
    """The exporter folds batch normalisation, so it is outputs that are compared. Three blocks
    have every operator that seventeen have."""
    monkeypatch.setattr(mobilenet, "STAGES", ((1, 16, 1, 1), (6, 24, 2, 2)))
    network = load_network("mobilenet_v2", input_shape=(1, 3, 64, 64))
    file = OnnxNetwork.load(network.to_onnx(tmp_path / "net.onnx"))
    inputs = floats(2, 3, 64, 64)
    with torch.inference_mode():
        found = file.to_torch().module(torch.from_numpy(inputs)).numpy()
    expected = only(network.outputs(inputs))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
