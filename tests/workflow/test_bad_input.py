"""Bad input: one clear sentence, exit status 2, and nothing is lost."""

import json
import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import onnx
import pytest
import torch
from typer.testing import Result

Command = Callable[..., Result]
FAKE = "fake:step=16"


def refused(result: Result, *words: str) -> str:
    """Status 2, one sentence on standard error, no traceback."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0], lines[0]
    return lines[0]


class Trap:
    """Would leave a mark if it were unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (Path.touch, (Path(self.mark),))  # type: ignore[return-value]


def test_missing_file(rankwise: Command) -> None:
    refused(rankwise("profile", "nosuch.onnx", "--backend", FAKE), "nosuch.onnx")


def test_unknown_model(rankwise: Command) -> None:
    refused(rankwise("layers", "resnet9000"), "resnet9000")


def test_truncated_onnx(rankwise: Command, network_file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    whole = network_file.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    refused(rankwise("profile", broken, "--backend", FAKE), "broken.onnx")


def test_text_named_onnx(rankwise: Command, tmp_path: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("this is not a network\n" * 10)
    refused(rankwise("profile", text, "--backend", FAKE), "text.onnx")


def test_pickled_object_does_not_run(rankwise: Command, tmp_path: Path) -> None:
    mark, trap = tmp_path / "mark", tmp_path / "trap.pth"
    trap.write_bytes(pickle.dumps(Trap(mark)))
    refused(rankwise("layers", "resnet18", "--weights", trap), "trap.pth")
    torch.save({"w": Trap(mark)}, trap)
    refused(rankwise("layers", "resnet18", "--weights", trap), "trap.pth")
    assert not mark.exists()


@pytest.mark.parametrize("place", ["model", "weights"])
def test_pt2_is_never_read(rankwise: Command, tmp_path: Path, place: str) -> None:
    file = tmp_path / "network.pt2"
    file.write_bytes(b"PK\x03\x04")
    words = ["layers", file] if place == "model" else ["layers", "resnet18", "--weights", file]
    refused(rankwise(*words), "pt2")


def test_unknown_backend(rankwise: Command, network_file: Path) -> None:
    refused(rankwise("profile", network_file, "--backend", "abacus"), "abacus", "fake")


def test_input_shape_that_does_not_fit(rankwise: Command) -> None:
    words = ["layers", "resnet18", "--input-shape"]
    refused(rankwise(*words, "1,5,224,224"), "5")
    refused(rankwise(*words, "1,3,224"))
    refused(rankwise(*words, "one,3,224,224"), "--input-shape")
    refused(rankwise(*words, "1,3,0,224"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--threads", "0"),
        ("--batch", "0"),
        ("--rank-quantum", "0"),
        ("--interval", "-0.1"),
        ("--max-time", "soon"),
        ("--kinds", "magic"),
        ("--phase", "dreaming"),
        ("--dtype", "float3"),
    ],
)
def test_profile_options(rankwise: Command, network_file: Path, option: str, value: str) -> None:
    refused(rankwise("profile", network_file, "--backend", FAKE, option, value))


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-error", "-0.1"), ("--target-speedup", "0"), ("--max-params", "-5")],
)
def test_negative_limits(
    rankwise: Command, network_file: Path, tmp_path: Path, option: str, value: str
) -> None:
    output = tmp_path / "plan.json"
    words = ["plan", network_file, "--backend", FAKE, option, value, "-o", output]
    refused(rankwise(*words), option)
    assert not output.exists()


@pytest.mark.usefixtures("profiled")
def test_plan_without_measurements_says_what_to_run(
    rankwise: Command, network_file: Path, tmp_path: Path
) -> None:
    words = ["plan", network_file, "--backend", "fake:step=8", "--max-error", 0.1]
    refused(rankwise(*words, "-o", tmp_path / "plan.json"), "rankwise profile")


class TestStores:
    """Each keeps what was there."""

    def test_directory(self, rankwise: Command, network_file: Path, tmp_path: Path) -> None:
        words = ["profile", network_file, "--backend", FAKE, "--db", tmp_path]
        refused(rankwise(*words), "directory")

    def test_missing(self, rankwise: Command, tmp_path: Path) -> None:
        refused(rankwise("table", "--db", tmp_path / "nosuch.db"), "nosuch.db")
        assert not (tmp_path / "nosuch.db").exists()

    def test_not_a_database(self, rankwise: Command, network_file: Path, tmp_path: Path) -> None:
        file = tmp_path / "notes.db"
        file.write_text("remember the milk\n" * 100)
        refused(rankwise("profile", network_file, "--backend", FAKE, "--db", file), "notes.db")
        assert file.read_text().startswith("remember")

    @pytest.mark.usefixtures("profiled")
    def test_newer_schema(self, rankwise: Command, network_file: Path, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("update rankwise_version set version_num = '9999'")
        refused(rankwise("profile", network_file, "--backend", FAKE), "newer")
        refused(rankwise("table"), "newer")

    @pytest.mark.usefixtures("profiled")
    def test_read_only(self, rankwise: Command, network_file: Path, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        path.chmod(0o444)
        before = path.read_bytes()
        words = ["profile", network_file, "--backend", FAKE, "--refresh", "--db", path]
        refused(rankwise(*words), "store.db")
        assert path.read_bytes() == before
        assert rankwise("table", "--db", path).exit_code == 0


class TestPlans:
    made: ClassVar[list[str]] = []

    @pytest.fixture
    def plan(self, rankwise: Command, network_file: Path, tmp_path: Path) -> Path:
        """Each test's own copy of a plan that is made once: that takes seconds."""
        path = tmp_path / "plan.json"
        if not self.made:
            assert rankwise("profile", network_file, "--backend", FAKE).exit_code == 0
            words = ["plan", network_file, "--backend", FAKE, "--max-error", 0.3, "--no-refine"]
            result = rankwise(*words, "-o", path)
            assert result.exit_code == 0, result.output
            self.made.append(path.read_text())
        path.write_text(self.made[0])
        return path

    def edit(self, path: Path, change: Callable[[dict[str, object]], None]) -> None:
        document = json.loads(path.read_text())
        layer = next(e for e in document["layers"] if e["decomposition"]["kind"] != "original")
        change(layer)
        path.write_text(json.dumps(document))

    def test_another_network(
        self, rankwise: Command, plan: Path, network_file: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other.onnx"
        model = onnx.load(network_file)
        values = onnx.numpy_helper.to_array(model.graph.initializer[0]) + 1
        name = model.graph.initializer[0].name
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values, name))
        onnx.save(model, other)
        words = ["apply", plan, other, "-o", tmp_path / "out.onnx"]
        refused(rankwise(*words), "another network")
        assert not (tmp_path / "out.onnx").exists()

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            (lambda plan: plan.update(policies=[]), "policies"),
            (lambda plan: plan["layers"].pop(), "what becomes of layer"),
            (lambda plan: plan.update(layers=[]), "what becomes of layer"),
            (lambda plan: plan["layers"].append(plan["layers"][0]), "twice"),
        ],
    )
    @pytest.mark.parametrize("command", ["what-if", "apply", "verify"])
    def test_plans_that_are_not_whole(
        self,
        rankwise: Command,
        plan: Path,
        network_file: Path,
        command: str,
        change: Callable[[dict[str, Any]], None],
        word: str,
    ) -> None:
        document = json.loads(plan.read_text())
        change(document)
        plan.write_text(json.dumps(document))
        more = ["-o", plan.with_name("out.onnx")] if command == "apply" else []
        refused(rankwise(command, plan, network_file, *more), word)

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            (lambda layer: layer.update(name="nosuch"), "nosuch"),
            (lambda layer: layer["decomposition"].update(kind="magic"), "magic"),
            (lambda layer: layer["decomposition"].update(ranks=[4096]), "4096"),
            (lambda layer: layer["decomposition"].update(ranks=[0]), "0"),
            (lambda layer: layer["decomposition"].update(ranks=[]), "rank"),
        ],
    )
    def test_impossible_decisions(
        self,
        rankwise: Command,
        plan: Path,
        network_file: Path,
        tmp_path: Path,
        change: Callable[[dict[str, object]], None],
        word: str,
    ) -> None:
        self.edit(plan, change)
        words = ["apply", plan, network_file, "-o", tmp_path / "out.onnx"]
        refused(rankwise(*words), word)
        assert not (tmp_path / "out.onnx").exists()

    @pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"kind": "rankwise.table"}'])
    def test_not_a_plan(
        self, rankwise: Command, network_file: Path, tmp_path: Path, text: str
    ) -> None:
        file = tmp_path / "plan.json"
        file.write_text(text)
        refused(rankwise("verify", file, network_file), "plan")

    def test_missing_plan(self, rankwise: Command, network_file: Path, tmp_path: Path) -> None:
        refused(rankwise("verify", tmp_path / "nosuch.json", network_file), "nosuch.json")

    def test_unknown_suffix(
        self, rankwise: Command, plan: Path, network_file: Path, tmp_path: Path
    ) -> None:
        words = ["apply", plan, network_file, "-o", tmp_path / "out.pkl"]
        refused(rankwise(*words), ".pkl")
