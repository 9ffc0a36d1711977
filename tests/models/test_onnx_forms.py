"""Forms in which ONNX files come: where weights lie, versions, functions, branches, names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from rankwise.backends.base import FileWorkload
from rankwise.errors import ModelError
from rankwise.models.network import Network, only
from rankwise.models.source import load_network, network_of_module

RNG = np.random.default_rng(0)
SHAPE = (1, 3, 10, 12)


def answers(path: Path, inputs: np.ndarray) -> np.ndarray:
    """What the runtime makes of a file, without us."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: inputs})
    return found


def check_rewritten(network: Network, made: Any, path: Path, folder: Path) -> Path:
    """With every kind at full rank the file answers the same, in the runtime alone; the last."""
    inputs = RNG.standard_normal(network.input_shape).astype(np.float32)
    wanted = answers(path, inputs)
    assert made
    for number, replacements in enumerate(made):
        written = network.replaced(replacements).save(folder / f"smaller{number}.onnx")
        close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(wanted).max()}
        np.testing.assert_allclose(answers(written, inputs), wanted, **close)
    return written


def external(path: Path, folder: Path) -> Path:
    """The same file with its weights in `weights.bin` beside it."""
    folder.mkdir()
    target = folder / "net.onnx"
    onnx.save(
        onnx.load(path),
        target,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return target


class TestWeightsBeside:
    def test_the_file_is_reached_through_a_link(self, make_onnx, noise, tmp_path):
        file = external(make_onnx(), tmp_path / "real")
        (tmp_path / "elsewhere").mkdir()
        link = tmp_path / "elsewhere" / "link.onnx"
        link.symlink_to("../real/net.onnx")
        inputs = noise(*SHAPE)
        found, wanted = load_network(link), load_network(file)
        assert found.sha256 == wanted.sha256
        assert np.array_equal(only(found.outputs(inputs)), only(wanted.outputs(inputs)))

    def test_both_are_links_as_in_a_cache_of_downloads(self, make_onnx, tmp_path):
        file = external(make_onnx(), tmp_path / "real")
        (tmp_path / "blobs").mkdir()
        (tmp_path / "snapshot").mkdir()
        for name, blob in (("net.onnx", "17ab"), ("weights.bin", "93fe")):
            (tmp_path / "blobs" / blob).write_bytes((tmp_path / "real" / name).read_bytes())
            (tmp_path / "snapshot" / name).symlink_to(f"../blobs/{blob}")
        found = load_network(tmp_path / "snapshot/net.onnx")
        assert found.sha256 == load_network(file).sha256

    def test_a_link_to_another_place_is_refused(self, make_onnx, tmp_path):
        file = external(make_onnx(), tmp_path / "real")
        (tmp_path / "secret").write_bytes((tmp_path / "real/weights.bin").read_bytes())
        (tmp_path / "real/weights.bin").unlink()
        (tmp_path / "real/weights.bin").symlink_to("../secret")
        with pytest.raises(ModelError, match=r"external data of .* there is no file weights\.bin"):
            load_network(file)

    def test_weights_inside_nodes_and_branches(self, make_onnx, tmp_path, noise):
        """Such a tensor counts in the hash, too."""
        plain, hashes = load_network(make_onnx(weights_as="constant")), []
        for number in range(2):
            model = onnx.load(make_onnx(weights_as="constant"))
            for node in model.graph.node[: number + 1]:
                tensor = node.attribute[0].t
                place = tmp_path / str(number)
                place.mkdir(exist_ok=True)
                data = np.frombuffer(tensor.raw_data, np.float32) * np.float32(number + 1)
                (place / f"{tensor.name}.bin").write_bytes(data.tobytes())
                onnx.external_data_helper.set_external_data(tensor, f"{tensor.name}.bin")
                tensor.ClearField("raw_data")
            (place / "net.onnx").write_bytes(model.SerializeToString())
            hashes.append(load_network(place / "net.onnx"))
        inputs = noise(*SHAPE)
        first = only(hashes[0].outputs(inputs))
        assert np.array_equal(first, only(plain.outputs(inputs)))
        assert not np.allclose(only(hashes[1].outputs(inputs)), first)
        assert hashes[0].sha256 != hashes[1].sha256


class TestLarge:
    """Above what protobuf writes at once; the limit is lowered."""

    @pytest.fixture(autouse=True)
    def lowered(self, monkeypatch):
        monkeypatch.setattr("rankwise.models.onnx_storage.MAX_BYTES", 2000)
        monkeypatch.setattr("rankwise.models.onnx_storage.MIN_BYTES", 100)

    def test_written_with_its_weights_beside_it(self, make_onnx, full_rank, noise, tmp_path):
        inputs = noise(*SHAPE)
        file = external(make_onnx(), tmp_path / "real")
        network, wanted = load_network(file), answers(file, inputs)
        scores = np.exp(only(network.outputs(inputs)))  # what goes into the softmax is compared
        np.testing.assert_allclose(scores / scores.sum(), wanted, atol=1e-6)
        written = check_rewritten(network, full_rank(network), file, tmp_path)
        data = written.with_name(f"{written.name}.data")
        assert written.stat().st_size < 2000 < data.stat().st_size
        again = network.save(tmp_path / "same.onnx")
        np.testing.assert_allclose(answers(again, inputs), wanted, atol=1e-6)
        work = network.workload("k", (FileWorkload,), tmp_path)
        np.testing.assert_allclose(answers(work.path, inputs), wanted, atol=1e-6)

    def test_its_identity_is_that_of_its_weights(self, make_onnx, full_rank):
        network = load_network(make_onnx())
        first, *_ = full_rank(network)
        one, same = network.replaced(first), network.replaced(first)
        (name, (chain, weights)), *_ = first.items()
        weights[0].weight[:] *= 2
        assert one.sha256 == same.sha256 != network.replaced({name: (chain, weights)}).sha256

    def test_of_a_module(self, small_net, noise, tmp_path):
        network = network_of_module(small_net, (2, 3, 8, 8))
        inputs = noise(2, 3, 8, 8)
        path = network.to_onnx(tmp_path / "net.onnx")
        assert path.with_name("net.onnx.data").exists()
        wanted = only(network.outputs(inputs))
        np.testing.assert_allclose(answers(path, inputs), wanted, rtol=1e-4, atol=1e-5)

    def test_functions(self, tmp_path):
        path = onnx_file(*with_function(), tmp_path)
        assert load_network(path).layers[0].spec.padding == (1, 1, 1, 1)


def onnx_file(
    nodes: list[NodeProto],
    tensors: list[TensorProto],
    functions: list[onnx.FunctionProto],
    folder: Path,
) -> Path:
    """From `x` (1, 3, 8, 8) to `y`, which has four axes."""
    value = helper.make_tensor_value_info
    ends = value("x", 1, [1, 3, 8, 8]), value("y", 1, list("abcd"))
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid(name, number) for name, number in (("", 17), ("mine", 1))]
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9)
    onnx.save(model, folder / "made.onnx")
    return folder / "made.onnx"


def weight(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(RNG.standard_normal(shape).astype(np.float32), name)


def referring(node: NodeProto, **names: str) -> NodeProto:
    """The node with attributes that are those of the function around it."""
    for name, outer in names.items():
        node.attribute.add(name=name, ref_attr_name=outer, type=onnx.AttributeProto.INTS)
    return node


def with_function() -> tuple[list[NodeProto], list[TensorProto], list[onnx.FunctionProto]]:
    """A function whose convolution takes its padding from the call, and one in another."""
    opsets = [helper.make_opsetid(name, number) for name, number in (("", 17), ("mine", 1))]
    inner = referring(helper.make_node("Conv", ["a", "w"], ["b"], "conv"), pads="around")
    outer = referring(
        helper.make_node("Block", ["a", "w"], ["b"], "block", domain="mine"), around="rim"
    )
    functions = [
        helper.make_function("mine", "Block", ["a", "w"], ["b"], [inner], opsets, ["around"]),
        helper.make_function("mine", "Outer", ["a", "w"], ["b"], [outer], opsets, ["rim"]),
    ]
    nodes = [
        helper.make_node("Block", ["x", "w"], ["h"], "first", domain="mine", around=[1] * 4),
        helper.make_node("Outer", ["h", "v"], ["y"], "second", domain="mine", rim=[2] * 4),
    ]
    return nodes, [weight("w", 4, 3, 3, 3), weight("v", 4, 4, 3, 3)], functions


class TestVersions:
    @pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
    def test_every_opset(self, make_onnx, full_rank, tmp_path, opset):
        head = "gemm" if opset % 2 else "matmul"
        path = make_onnx(opset=opset, head=head, ir_version=10)
        network = load_network(path)
        assert all(use.spec for use in network.layers)
        check_rewritten(network, full_rank(network)[:1], path, tmp_path)

    def test_a_file_of_a_later_version_is_refused_with_both(self, make_onnx, tmp_path):
        model = onnx.load(make_onnx())
        model.ir_version = onnx.IR_VERSION + 1
        path = tmp_path / "later.onnx"
        onnx.save(model, path)
        later, known = onnx.IR_VERSION + 1, onnx.IR_VERSION
        said = (
            rf"has IR version {later}, and the onnx package here .* knows versions up to {known}$"
        )
        with pytest.raises(ModelError, match=said):
            load_network(path)

    def test_a_runtime_of_an_earlier_version_says_both(self, make_onnx, tmp_path, monkeypatch):
        monkeypatch.setattr(onnx, "IR_VERSION", 99)
        monkeypatch.setattr("rankwise.models.onnx_file.check_model", lambda _: None)
        model = onnx.load(make_onnx())
        model.ir_version = 98
        onnx.save(model, tmp_path / "later.onnx")
        said = r"^onnxruntime cannot run this network: .*IR version: 98.*version: \d+"
        with pytest.raises(ModelError, match=said) as caught:
            load_network(tmp_path / "later.onnx")
        assert "\n" not in str(caught.value)


def test_functions_with_attributes_of_their_callers(tmp_path, full_rank):
    path = onnx_file(*with_function(), tmp_path)
    network = load_network(path)
    assert [use.spec.padding[0] for use in network.layers] == [1, 2]
    check_rewritten(network, full_rank(network), path, tmp_path)


def branches() -> list[NodeProto]:
    """A convolution before, in each branch, in a loop and behind. The branches read the first
    one's output; the weight of the last is read in the loop, too."""
    value, make = helper.make_tensor_value_info, helper.make_node
    then = helper.make_graph(
        [make("Conv", ["h", "w2"], ["t"], "inside")], "then", [], [value("t", 1, None)], []
    )
    other = helper.make_graph(
        [make("Conv", ["h", "w2"], ["e0"], "inside"), make("Neg", ["e0"], ["e"])],
        "else",
        [],
        [value("e", 1, None)],
        [],
    )
    body = helper.make_graph(
        [
            make("Conv", ["state", "w3"], ["next"], "", pads=[1] * 4),
            make("Identity", ["go"], ["on"]),
        ],
        "body",
        [value("i", 7, []), value("go", 9, []), value("state", 1, None)],
        [value("on", 9, []), value("next", 1, None)],
        [],
    )
    return [
        make("Conv", ["x", "w1"], ["h"], "first"),
        make("ReduceSum", ["h"], ["total"], keepdims=0),
        make("Greater", ["total", "zero"], ["positive"]),
        make("If", ["positive"], ["k"], "branch", then_branch=then, else_branch=other),
        make("Loop", ["twice", "", "k"], ["l"], "loop", body=body),
        make("Conv", ["l", "w3"], ["y"], "last"),
    ]


def test_layers_in_branches_and_loops_are_listed_and_the_file_still_runs(tmp_path, full_rank):
    tensors = [weight("w1", 4, 3, 3, 3), weight("w2", 4, 4, 3, 3), weight("w3", 4, 4, 3, 3)]
    constants = {"zero": np.float32(0), "twice": np.int64(2)}
    tensors += [numpy_helper.from_array(np.array(one), name) for name, one in constants.items()]
    path = onnx_file(branches(), tensors, [], tmp_path)
    network = load_network(path)
    assert [(use.name, use.reason) for use in network.layers] == [
        ("first", ""),
        ("inside", "inside a node of type If"),
        ("t", "inside a node of type If"),
        ("next", "inside a node of type Loop"),
        ("last", ""),
    ]
    check_rewritten(network, full_rank(network), path, tmp_path)


NAMES = [
    ("", ""),
    ("same", "same"),
    ("カーネル/重み:0", "😀 *?\"'<>|"),
    ("a b\tc", "\u202eright to left\u0301"),
    ("first/lowrank", "first"),
    ("x" * 300, "y"),
]


@pytest.mark.parametrize("names", NAMES)
def test_any_names(tmp_path, full_rank, names):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], names[0]),
        helper.make_node("Conv", ["h", "v"], ["y"], names[1]),
    ]
    tensors = [weight("w", 4, 3, 3, 3), weight("v", 4, 4, 3, 3)]
    path = onnx_file(nodes, tensors, [], tmp_path).rename(tmp_path / "名前 😀.onnx")
    network = load_network(path)
    first, second = names[0] or "h", names[1] if names[1] not in ("", names[0]) else "y"
    assert [use.name for use in network.layers] == [first, second]
    if names == ("same", "same"):  # which the runtime alone does not take
        path = network.save(tmp_path / "unlike.onnx")
    written = check_rewritten(network, full_rank(network), path, tmp_path)
    assert len(load_network(written).layers) > 2
    assert network.workload(names[1], (FileWorkload,), tmp_path).path.exists()


def test_a_recurrent_layer_without_its_first_output_has_a_name(tmp_path):
    node = helper.make_node("LSTM", ["s", "w", "r"], ["", "last"], hidden_size=4)
    nodes = [
        helper.make_node("Reshape", ["x", "rows"], ["s"]),
        node,
        helper.make_node("Unsqueeze", ["last", "axis"], ["y"]),
    ]
    tensors = [weight("w", 1, 16, 8), weight("r", 1, 16, 4)]
    shapes = {"rows": [24, 1, 8], "axis": [0]}
    tensors += [numpy_helper.from_array(np.array(one), name) for name, one in shapes.items()]
    assert [use.name for use in load_network(onnx_file(nodes, tensors, [], tmp_path)).layers] == [
        "last"
    ]


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_files_in_half_precision_are_read_in_float32(tmp_path, dtype):
    tensor = helper.make_tensor("w", dtype, [4, 3, 1, 1], RNG.standard_normal(12))
    value = helper.make_tensor_value_info
    ends = value("x", dtype, [1, 3, 8, 8]), value("y", dtype, list("abcd"))
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv")
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [tensor])
    opset = [helper.make_opsetid("", 22)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "half.onnx")
    network = load_network(tmp_path / "half.onnx")
    assert [(use.name, use.reason) for use in network.layers] == [("conv", "")]
    (note,) = network.loading_notes
    assert TensorProto.DataType.Name(dtype).lower() in note
