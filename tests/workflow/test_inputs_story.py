"""Networks of several inputs on the command line, from `layers` to reopened files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rankwise.documents.plan_files import read_plan

FAKE = "fake:step=4,launch_us=0.01,gmacs=0.1"
LIB = Path(__file__).parents[1] / "models" / "lib"
ARRAYS = {"ids": (4,), "half": (4, 6)}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(LIB))


def call(*words: object, status: int = 0) -> Result:
    from rankwise.cli import app

    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return result


def calibration(source: str, count: int = 24) -> dict[str, np.ndarray[Any, Any]]:
    from rankwise.models.source import load_network

    inputs = load_network(source).inputs
    given: Any = inputs.noise(count, seed=1)
    arrays = given.by_name if hasattr(given, "by_name") else {"input": given}
    np.savez("calibration.npz", labels=np.zeros(3), **arrays)
    return dict(arrays)


def planned(source: str, *more: object) -> Any:
    call("profile", source, "--backend", FAKE, "--kinds", "svd,tucker2", "--rank-quantum", 4)
    words = ("plan", source, "--backend", FAKE, "--max-error", 0.9, "-o", "plan.json")
    call(*words, "--no-refine", *more)
    return read_plan(Path("plan.json"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two_pictures", "in_dicts", "bert"])
def test_from_layers_to_reopened_files(name: str) -> None:
    """What is written answers as the network in memory does."""
    import torch

    import rankwise
    from rankwise.models.source import load_network

    source = f"nets_of_inputs:{name}"
    arrays = calibration(source)
    listed = json.loads(call("layers", source, "--json").stdout)
    assert [one["name"] for one in listed["model"]["inputs"]] == list(arrays)
    plan = planned(source, "--calibration", "calibration.npz")
    assert plan.decisions
    assert plan.calibration is not None
    compressed = rankwise.apply("plan.json", source)
    wanted = compressed.outputs(arrays)
    for suffix in ("onnx", "safetensors", "pt2"):
        call("apply", "plan.json", source, "-o", f"out.{suffix}")
    found = load_network("out.onnx").outputs(arrays)
    assert list(found) == list(wanted)
    for output, one in wanted.items():
        np.testing.assert_allclose(found[output], one, rtol=1e-2, atol=1e-4)
    state = compressed.module.state_dict()
    from safetensors.torch import load_file

    written = load_file("out.safetensors")
    assert all(torch.equal(written[key], value) for key, value in state.items())
    assert torch.export.load("out.pt2").module() is not None
    said = call("verify", "plan.json", source, "--data", "calibration.npz")
    assert "relative error" in said.output
    call("what-if", "plan.json", "--calibration", "calibration.npz")
    trained = ("recover", "plan.json", source, "--data", "calibration.npz", "--steps", 2)
    done = CliRunner().invoke(_app(), [*map(str, trained), "-o", "r.safetensors"])
    assert done.exit_code in (0, 3)


def _app() -> Any:
    from rankwise.cli import app

    return app


def test_a_plan_without_calibration_uses_tokens_that_the_network_knows() -> None:
    assert planned("nets_of_inputs:in_dicts").decisions


@pytest.fixture
def file() -> str:
    from test_networks_of_inputs import two_input_file

    return str(two_input_file(Path("n.onnx"), length="T"))


class TestFile:
    @pytest.fixture(autouse=True)
    def _tests_beside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(LIB.parent))

    WORDS = ("--input", "ids=2,4", "--input", "half=2,4,6:float16")

    def test_inputs_that_are_described(self, file: str) -> None:
        assert "--input ids=" in call("layers", file, status=2).output
        found = json.loads(call("layers", file, *self.WORDS, "--json").stdout)
        assert found["model"]["input_shape"] == [2, 4]
        assert found["model"]["inputs"] == [
            {"name": "ids", "shape": [2, 4], "dtype": "int64"},
            {"name": "half", "shape": [2, 4, 6], "dtype": "float16"},
        ]
        (layer,) = found["layers"]
        assert layer["spec"]["input_shape"] == [4, 6]

    @pytest.mark.parametrize(
        ("word", "sentence"),
        [
            ("ids", "--input 'ids' cannot be read; write it like input_ids=1,16:int64"),
            ("ids=2,x", "cannot be read"),
            ("ids=2,0", "cannot be read"),
            ("words=2,4", "has no input 'words'; it has ids, half"),
            ("ids=2,4:string", "an input of type string is not supported"),
            ("ids=2,4:int32", "is of type int64, not int32"),
        ],
    )
    def test_words_that_cannot_be(self, file: str, word: str, sentence: str) -> None:
        output = call("layers", file, "--input", word, status=2).output
        assert sentence in " ".join(output.split())

    def test_a_plan_remembers_them(self, file: str) -> None:
        rng = np.random.default_rng(0)
        ids, half = rng.integers(0, 9, (20, 4)), rng.standard_normal((20, 4, 6))
        np.savez("c.npz", ids=ids, half=half.astype(np.float16))
        call("profile", file, *self.WORDS, "--backend", FAKE, "--kinds", "svd")
        words = ("plan", file, *self.WORDS, "--backend", FAKE, "--max-error", 0.5, "--no-refine")
        call(*words, "--calibration", "c.npz", "-o", "plan.json")
        call("apply", "plan.json", file, "-o", "out.onnx")
        assert "ids=" in call("layers", "out.onnx", status=2).output  # open as it was
        call("what-if", "plan.json", "--calibration", "c.npz")

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"half": None}, "has no array 'half'; the network takes ids, half"),
            ({"ids": np.full((20, 4), 9)}, "'ids' holds 9, but the network has 9 rows"),
            ({"ids": np.ones((20, 4))}, "'ids' is of type float64, but the network takes int64"),
            ({"ids": np.ones((20, 5), int)}, "has the shape (n, 5), but the network takes (n, 4)"),
            ({"ids": np.ones((19, 4), int)}, "different numbers of examples: ids 19, half 20"),
            ({"ids": np.array([{}] * 20)}, "cannot be read as an .npz of plain arrays"),
        ],
    )
    def test_calibration_that_does_not_fit(
        self, file: str, change: dict[str, Any], sentence: str
    ) -> None:
        arrays = {"ids": np.ones((20, 4), int), "half": np.zeros((20, 4, 6), np.float16)} | change
        np.savez("c.npz", **{name: one for name, one in arrays.items() if one is not None})
        call("profile", file, *self.WORDS, "--backend", FAKE, "--kinds", "svd")
        words = ("plan", file, *self.WORDS, "--backend", FAKE, "--max-error", 0.5)
        output = call(*words, "--calibration", "c.npz", "-o", "plan.json", status=2).output
        assert sentence in " ".join(output.split())
        assert not Path("plan.json").exists()


def test_pictures_are_no_tokens(pictures: Path) -> None:
    source = "nets_of_inputs:bert"
    call("profile", source, "--backend", FAKE, "--kinds", "svd", "--rank-quantum", 16)
    words = ("plan", source, "--backend", FAKE, "--max-error", 0.5, "-o", "plan.json")
    output = call(*words, "--calibration", pictures, "--preprocess", "unit", status=2).output
    assert "give an .npz with an array for each of input_ids, attention_mask" in " ".join(
        output.split()
    )
