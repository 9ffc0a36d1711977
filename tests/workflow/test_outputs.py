"""Outputs are checked before the work, and never take an input's place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from typer.testing import Result

from rankwise.errors import UsageError
from rankwise.models.output_files import NETWORKS, check_output

Command = Callable[..., Result]
FAKE = "fake:step=16"


def test_what_is_fine(tmp_path: Path) -> None:
    (tmp_path / "in.onnx").write_bytes(b"")
    check_output(tmp_path / "out.onnx", tmp_path / "in.onnx", "resnet18", None, suffixes=NETWORKS)
    check_output(tmp_path / "in.onnx", tmp_path / "other.onnx", object(), suffixes=NETWORKS)


def test_refused(tmp_path: Path) -> None:
    file = tmp_path / "in.onnx"
    file.write_bytes(b"")
    (tmp_path / "link.onnx").symlink_to(file)
    for output, sentence in (
        (file, "is what is read"),
        (tmp_path / "link.onnx", "is what is read"),
        (tmp_path / "nowhere" / "x.onnx", "no such folder"),
        (tmp_path / "x.pth", "use .onnx"),
    ):
        with pytest.raises(UsageError, match=sentence):
            check_output(output, str(file), suffixes=NETWORKS)
    with pytest.raises(UsageError, match="it is a folder"):
        check_output(tmp_path, file)


def test_commands_leave_what_they_read(
    rankwise: Command, network_file: Path, pictures: Path, tmp_path: Path
) -> None:
    net, plan = tmp_path / "net.onnx", tmp_path / "plan.json"
    onnx.save(onnx.load(network_file), net)  # its weights lie beside it
    asked = ["plan", net, "--backend", FAKE, "--max-error", 0.4, "--no-refine"]
    assert rankwise("profile", net, "--backend", FAKE).exit_code == 0
    assert rankwise(*asked, "-o", plan).exit_code == 0
    before = net.read_bytes(), plan.read_bytes()
    for words in (
        ["apply", plan, net, "-o", net],
        ["recover", plan, net, "--data", pictures, "--steps", 1, "-o", net],
        ["finetune", plan, "math:floor", "--model", net, "-o", net],
        ["report", plan, "-o", plan],
        [*asked, "-o", net],
        [*asked, "-o", tmp_path / "nowhere" / "plan.json"],
        [*asked, "-o", tmp_path],
    ):
        result = rankwise(*words)
        assert result.exit_code == 2, result.output
        assert "cannot write" in result.output
        assert (net.read_bytes(), plan.read_bytes()) == before
