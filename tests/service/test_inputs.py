"""Networks with several inputs of open sizes: over a service as on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from rankwise import documents
from rankwise.cli import app
from rankwise.jobs.artifacts import NetworkEntry

FAKE = "fake:step=16"
INPUTS = ["tokens=1,6", "mask=1,6:float32"]
ASKED = [word for text in INPUTS for word in ("--input", text)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens and a mask of open length -> scores (batch, 8)."""
    rng = np.random.default_rng(0)
    arrays = {
        "table": rng.normal(size=(20, 256)),
        "first.w": rng.normal(size=(256, 8)) @ rng.normal(size=(8, 256)),
        "second.w": rng.normal(size=(256, 8)),
    }
    tensors = [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()]
    tensors.append(numpy_helper.from_array(np.array([2]), "last"))
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"], "embedding"),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"], "widened"),
        helper.make_node("Mul", ["rows", "wide"], ["seen"], "masked"),
        helper.make_node("MatMul", ["seen", "first.w"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("ReduceMean", ["b"], ["c"], "mean", axes=[1], keepdims=0),
        helper.make_node("MatMul", ["c", "second.w"], ["scores"], "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "tokens",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "t"]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", "t"]),
        ],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 8])],
        tensors,
    )
    path = tmp_path_factory.mktemp("inputs") / "tokens.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=opsets), path)
    return path


def rankwise(*words: object) -> str:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def server(service: Any) -> list[str]:
    return ["--server", service.url]


def test_layers_as_on_the_command_line(file: Path, server: list[str]) -> None:
    here = json.loads(rankwise("layers", file, *ASKED, "--json"))
    there = json.loads(rankwise("layers", file, *ASKED, "--json", *server))
    assert [one["name"] for one in there["model"]["inputs"]] == ["tokens", "mask"]
    assert there["model"].pop("source") != here["model"].pop("source")
    assert there == here


@pytest.mark.slow
def test_the_whole_story(file: Path, server: list[str], tmp_path: Path) -> None:
    plan, smaller = tmp_path / "plan.json", tmp_path / "out.onnx"
    rankwise("profile", file, *ASKED, "--backend", FAKE, *server)
    limits = ["--max-error", 0.5, "--trials", 2]
    rankwise("plan", file, *ASKED, "--backend", FAKE, *limits, "-o", plan, *server)
    made = documents.Plan.model_validate_json(plan.read_text())
    assert [tuple(one.shape) for one in made.model.inputs] == [(1, 6), (1, 6)]
    assert any(layer.decomposition.kind != "original" for layer in made.layers)
    rankwise("apply", plan, file, "-o", smaller, *server)
    rankwise("verify", plan, file, *server)
    session = onnxruntime.InferenceSession(smaller)
    given = {"tokens": np.ones((3, 9), np.int64), "mask": np.ones((3, 9), np.float32)}
    (scores,) = session.run(None, given)
    assert scores.shape == (3, 8)


def test_over_http(service: Any, file: Path) -> None:
    answer = service.upload("/networks", file.read_bytes(), name="t.onnx", input=INPUTS)
    assert answer.status_code == 201, answer.text
    described = service.http.get(f"/networks/{answer.json()['id']}/layers").json()
    assert [one["shape"] for one in described["model"]["inputs"]] == [[1, 6], [1, 6]]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["tokens"], "input 'tokens' cannot be read; write it like input_ids=1,16:int64"),
        (["words=1,6"], "the network has no input 'words'"),
        (["tokens=1,6:complex64"], "an input of type complex64 is not supported"),
        (["tokens=9999999,9999999,9999999"], "the network"),
    ],
)
def test_what_is_refused(service: Any, file: Path, texts: list[str], said: str) -> None:
    before = service.files()
    answer = service.upload("/networks", file.read_bytes(), input=texts)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]
    assert service.files() == before


def test_a_network_that_is_there_keeps_its_inputs(service: Any, network: dict[str, Any]) -> None:
    words = ["layers", network["id"], "--input", "x=1,3,8,8", "--server", service.url]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "leave --input out" in result.output


def test_entries_of_before_have_no_inputs() -> None:
    document = dict.fromkeys(
        ("name", "architecture", "file", "added_at", "sha256", "input_shape", "layers")
    )
    entry = NetworkEntry.from_json({**document, "id": "a", "format": "onnx", "bytes": 1})
    assert entry.inputs == ()
