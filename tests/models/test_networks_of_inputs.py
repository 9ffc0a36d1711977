"""Networks with several inputs, tokens, masks, nested dicts: read, run, exported, reopened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from nets_of_inputs import LENGTH, Behaves, TwoPictures, bert, in_dicts, two_pictures
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from rankwise.errors import ModelError
from rankwise.inputs.examples import AskedInput, Examples
from rankwise.models.network import Network
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.source import load_network, network_of_module

pytestmark = pytest.mark.usefixtures("importable")

NETWORKS = ("two_pictures", "in_dicts", "bert", "wav2vec", "whisper")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "lib"))


def loaded(name: str, **more: Any) -> Network:
    return load_network(f"nets_of_inputs:{name}", **more)


def by_name(given: Any, names: list[str]) -> dict[str, np.ndarray]:
    arrays = given.arrays if isinstance(given, Examples) else (given,)
    return dict(zip(names, arrays, strict=True))


def test_inputs_have_the_names_of_the_parameters() -> None:
    assert loaded("two_pictures").inputs.names == ["picture", "depth", "scale"]
    assert loaded("bert").inputs.names == ["input_ids", "attention_mask"]
    names = ["batch.text.ids", "batch.text.keep", "batch.numbers"]
    assert loaded("in_dicts").inputs.names == names


def test_tables_are_seen() -> None:
    tables = {spec.name: spec.table for spec in loaded("bert").inputs.specs}
    assert tables == {"input_ids": 60, "attention_mask": None}
    assert loaded("in_dicts").inputs.specs[0].table == 60


def test_a_layers_example_is_without_the_batch() -> None:
    shapes = {use.name: use.spec.input_shape for use in loaded("bert").layers if use.spec}
    assert shapes["encoder.layer.0.attention.self.query"] == (LENGTH, 32)
    assert shapes["pooler.dense"] == (32,)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_the_module_called_as_its_author_does(name: str) -> None:
    network = loaded(name)
    given = network.inputs.noise(network.inputs.batch, seed=2)
    found = network.outputs(given)
    tensors = {n: torch.from_numpy(a) for n, a in by_name(given, network.inputs.names).items()}
    module = network.module  # type: ignore[attr-defined]
    with torch.no_grad():
        answer: dict[str, Any] = _answer(name, module, tensors)
    for output, wanted in answer.items():
        np.testing.assert_allclose(found[output], wanted.numpy(), rtol=1e-4, atol=1e-5)


def _answer(name: str, module: nn.Module, given: dict[str, torch.Tensor]) -> dict[str, Any]:
    if name == "two_pictures":
        return {"output": module(given["picture"], given["depth"], given["scale"])}
    if name == "in_dicts":
        text = {"ids": given["batch.text.ids"], "keep": given["batch.text.keep"]}
        answer = module({"text": text, "numbers": given["batch.numbers"]})
        return {"scores": answer["scores"], "parts0.seen": answer["parts"][0]["seen"]}
    if name == "whisper":
        return {"last_hidden_state": module(given["input"])[0]}
    return {"last_hidden_state": module(**given).last_hidden_state}


@pytest.mark.parametrize("name", NETWORKS)
def test_examples_do_not_depend_on_their_batch(name: str) -> None:
    network = loaded(name)
    given = network.inputs.noise(5, seed=3)
    whole = network.outputs(given)
    for output, wanted in whole.items():
        alone = np.concatenate([network.outputs(given[[n]])[output] for n in range(5)])
        np.testing.assert_allclose(alone, wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_file_keeps_names_and_answers(name: str, tmp_path: Path) -> None:
    network = loaded(name)
    file = OnnxNetwork.load(network.save(tmp_path / "n.onnx"))
    assert file.inputs.names == network.inputs.names
    given = network.inputs.noise(5, seed=4)
    wanted, found = network.outputs(given), file.outputs(by_name(given, file.inputs.names))
    if name != "whisper":  # one plain input: as the exporter names it
        assert list(found) == list(wanted)
    for one, other in zip(wanted.values(), found.values(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["two_pictures", "in_dicts", "bert"])
def test_a_pt2_takes_what_the_module_takes(name: str, tmp_path: Path) -> None:
    network = loaded(name)
    program = torch.export.load(network.save(tmp_path / "n.pt2")).module()
    given = by_name(network.inputs.noise(network.inputs.batch, seed=4), network.inputs.names)
    tensors = {n: torch.from_numpy(a) for n, a in given.items()}
    found, wanted = _answer(name, program, tensors), network.outputs(given)  # type: ignore[arg-type]
    for output, one in found.items():
        np.testing.assert_allclose(wanted[output], one.detach().numpy(), rtol=1e-3, atol=1e-5)


def test_a_module_as_an_object_with_a_tuple_or_a_dict() -> None:
    example = (torch.zeros(2, 3, 8, 8), np.zeros((2, 1, 8, 8), np.float32), torch.tensor(0.5))
    in_order = network_of_module(two_pictures(), example)
    named = dict(zip(("picture", "depth", "scale"), example, strict=True))
    by_keyword = network_of_module(two_pictures(), named)
    given = in_order.inputs.noise(3, seed=0)
    arrays = by_name(given, in_order.inputs.names)
    found, again = in_order.outputs(given), by_keyword.outputs(arrays)
    assert np.array_equal(found["output"], again["output"])
    assert in_order.sha256 == by_keyword.sha256


def test_another_batch_is_asked_for() -> None:
    assert [spec.shape[0] for spec in loaded("bert", batch=5).inputs.specs] == [5, 5]
    assert loaded("bert", batch=5).layers == loaded("bert").layers


def test_inputs_that_only_the_user_describes() -> None:
    asked = [
        AskedInput("picture", (2, 3, 8, 8)),
        AskedInput("depth", (2, 1, 8, 8)),
        AskedInput("scale", ()),
    ]
    network = load_network("nets_of_inputs:TwoPictures", inputs=asked)
    assert [spec.batched for spec in network.inputs.specs] == [True, True, False]
    with pytest.raises(ModelError, match=r"say which input .* --input-shape 1,3,224,224, or let"):
        load_network("nets_of_inputs:TwoPictures")


def test_examples_that_are_none() -> None:
    for example in ({}, (), "words", ({"a": 1},)):
        with pytest.raises(ModelError, match="example input"):
            network_of_module(TwoPictures(), example)


class TestBehaviour:
    def network(self, what: str) -> Network:
        return network_of_module(Behaves(what), (2, 3, 8, 8))

    def test_an_input_that_is_changed_in_place_stays_what_it_was(self, tmp_path: Path) -> None:
        network = self.network("changes")
        inputs = np.random.default_rng(0).standard_normal((4, 3, 8, 8), dtype=np.float32)
        before = inputs.copy()
        first, second = network.outputs(inputs), network.outputs(inputs)
        assert np.array_equal(inputs, before)
        assert np.array_equal(first["output"], second["output"])
        file = OnnxNetwork.load(network.save(tmp_path / "n.onnx"))
        np.testing.assert_allclose(file.outputs(inputs)["output"], first["output"], atol=1e-5)

    def test_a_workload_of_it_can_run_again_and_again(self, tmp_path: Path) -> None:
        from rankwise.backends.base import ModuleWorkload

        network = self.network("changes")
        workload = network.workload("k", (ModuleWorkload,), tmp_path)
        images = torch.ones(workload.input_shape)
        with torch.no_grad():
            (first,), (second,) = workload.module(images), workload.module(images)
        assert torch.equal(first, second)
        assert torch.equal(images, torch.ones(workload.input_shape))

    @pytest.mark.parametrize(("what", "name"), [("noise", "rand_like"), ("dropout", "dropout")])
    def test_answers_by_chance_are_refused(self, what: str, name: str) -> None:
        with pytest.raises(ModelError, match=rf"answers otherwise each time .*\(.*{name}"):
            self.network(what)

    @pytest.mark.parametrize(("what", "kept"), [("counts", "seen"), ("lists", "kept")])
    def test_answers_that_go_on_from_the_last_are_refused(self, what: str, kept: str) -> None:
        with pytest.raises(ModelError, match=rf"what it kept of the one before \({kept}\)"):
            self.network(what)

    def test_a_count_of_calls_that_no_answer_depends_on_does_no_harm(self) -> None:
        module = Behaves("notes")
        first, second = (network_of_module(module, (2, 3, 8, 8)) for _ in range(2))
        _ = first.outputs(np.ones((2, 3, 8, 8), np.float32))
        assert first.sha256 == second.sha256

    def test_numbers_that_are_drawn_and_not_used_do_no_harm(self) -> None:
        assert self.network("draws").layers

    def test_a_module_left_in_training_mode_is_read_in_eval_mode(self) -> None:
        module = Behaves("nothing").train()
        network = network_of_module(module, (2, 3, 8, 8))
        inputs = np.ones((2, 3, 8, 8), np.float32)
        module.eval()
        with torch.no_grad():
            wanted = module(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(network.outputs(inputs)["output"], wanted, atol=1e-6)


def two_input_file(path: Path, *, length: object = 4, batch: object = "N", op: str = "") -> Path:
    """ids (int64) choose rows of a table, a float16 picture of numbers is added."""
    rng = np.random.default_rng(0)
    weights = {"table": rng.standard_normal((9, 6)), "w": rng.standard_normal((6, 5))}
    tensors = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()]
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Cast", ["half"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["rows", "whole"], ["sum"]),
        helper.make_node("MatMul", ["sum", "w"], ["made"], "head"),
        helper.make_node(op, ["made"], ["noisy"])
        if op
        else helper.make_node("Identity", ["made"], ["noisy"]),
        helper.make_node("Add", ["made", "noisy"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, [batch, length]),
        helper.make_tensor_value_info("half", TensorProto.FLOAT16, [batch, length, 6]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, length, 5])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


class TestFiles:
    def test_inputs_are_made_from_types_and_shapes(self, tmp_path: Path) -> None:
        network = OnnxNetwork.load(two_input_file(tmp_path / "n.onnx"))
        found = [(s.name, s.shape, s.dtype, s.table) for s in network.inputs.specs]
        assert found == [("ids", (1, 4), "int64", 9), ("half", (1, 4, 6), "float16", None)]
        assert network.layers[0].spec is not None
        assert network.layers[0].spec.input_shape == (4, 6)
        ids, half = np.array([[0, 8, 1, 2]]), np.zeros((1, 4, 6), np.float32)
        table, w = (numpy_helper.to_array(t) for t in network.model.graph.initializer)
        found_y = network.outputs({"ids": ids, "half": half})["y"]
        np.testing.assert_allclose(found_y, 2 * table[ids] @ w, rtol=1e-5)

    def test_a_torch_module_of_it_answers_the_same(self, tmp_path: Path) -> None:
        """It is compared with the file when it is made: inputs must not change places."""
        network = OnnxNetwork.load(two_input_file(tmp_path / "n.onnx"))
        assert network.differentiable().paths == {"head": "head"}
        pictures = OnnxNetwork.load(loaded("two_pictures").save(tmp_path / "p.onnx"))
        assert len(pictures.differentiable().paths) == 4

    def test_open_sizes_have_to_be_said(self, tmp_path: Path) -> None:
        path = two_input_file(tmp_path / "n.onnx", length="T")
        with pytest.raises(ModelError, match=r"input 'ids' open \(\?,\?\): .* --input ids=1,16"):
            OnnxNetwork.load(path)
        asked = [AskedInput("ids", (2, 7)), AskedInput("half", (2, 7, 6))]
        network = OnnxNetwork.load(path, inputs=asked)
        assert (network.inputs.batch, network.layers[0].spec.input_shape) == (2, (7, 6))  # type: ignore[union-attr]
        assert load_network(path, inputs=network.inputs.asked).layers == network.layers

    def test_words_that_do_not_fit(self, tmp_path: Path) -> None:
        path = two_input_file(tmp_path / "n.onnx")
        for asked, sentence in (
            (AskedInput("ids", (1, 5)), r"takes an input of shape \?,4, not 1,5"),
            (AskedInput("ids", (1, 4), "int32"), "'ids' is of type int64, not int32"),
            (AskedInput("x", (1, 4)), "has no input 'x'; it has ids, half"),
        ):
            with pytest.raises(ModelError, match=sentence):
                OnnxNetwork.load(path, inputs=[asked])
        with pytest.raises(ModelError, match=r"has 2 inputs \(ids, half\): .* --input ids=1,4"):
            OnnxNetwork.load(path, input_shape=(1, 4))

    def test_answers_by_chance_are_refused(self, tmp_path: Path) -> None:
        path = two_input_file(tmp_path / "n.onnx", op="RandomNormalLike")
        with pytest.raises(ModelError, match=r"draws random numbers \(RandomNormalLike\)"):
            OnnxNetwork.load(path)

    def test_replaced_layers_answer_between_the_same_tensors(
        self, tmp_path: Path, full_rank: Any
    ) -> None:
        network = OnnxNetwork.load(two_input_file(tmp_path / "n.onnx"))
        given = network.inputs.noise(3, seed=0)
        wanted = network.outputs(given)["y"]
        for replacement in full_rank(network):
            found = network.replaced(replacement).outputs(given)["y"]
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_replaced_layers_of_modules(full_rank: Any) -> None:
    for make in (bert, in_dicts, two_pictures):
        network = loaded(make.__name__)
        given = network.inputs.noise(3, seed=0)
        wanted = network.outputs(given)
        for replacement in full_rank(network):
            for output, found in network.replaced(replacement).outputs(given).items():
                np.testing.assert_allclose(found, wanted[output], rtol=1e-2, atol=1e-4)
