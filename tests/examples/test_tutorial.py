"""docs/tutorial.md, walked from top to bottom, and what it shows beside what is printed.

On the fake backend and with a narrower network, so that it takes seconds: numbers, ranks, kinds and
verdicts are others then, and whatever is said around them has to be the same.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from rankwise.cli import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
KIND = r"\b(?:channel_svd|input_svd|spatial_svd|tucker2|svd)\b"
VERDICT = r"\b(?:FASTER|SLOWER|SAME|UNDECIDED)\b"
NUMBER = r"-?\d[\d.]*(?:e[-+]\d+)?(?:x\d+)*"


def told() -> list[tuple[str, list[str]]]:
    """Each command of the page, and the lines that it shows of its answer."""
    story: list[tuple[str, list[str]]] = []
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "sh":
            lines = text.replace("\\\n", " ").splitlines()
            story += [(line, []) for line in lines if line.startswith(("rankwise ", "python "))]
        elif story:
            story[-1][1].extend(line for line in text.splitlines() if line.strip(" ."))
    return story


def masked(line: str) -> str:
    """The line without what is measured and chosen: numbers, units, kinds, verdicts, devices."""
    line = re.sub(r"(onnxruntime-cpu|fake)( [0-9a-f]{6}\b)?", "DEVICE", line)
    line = re.sub(f"{KIND} {NUMBER}", "CHOSEN", re.sub(r"\b(ms|us|s)\b", "UNIT", line))
    line = re.sub(NUMBER, "N", re.sub(VERDICT, "VERDICT", line))
    if "DEVICE" not in line:  # what a plan decides of a layer, and why
        line = re.sub(r"(?<=->N) +(CHOSEN|original) .*", " DECIDED", line)
    return " ".join(line.split())


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(
    example: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    tutorial = example("tutorial_network")
    monkeypatch.setattr(tutorial, "WIDTH", 16)
    monkeypatch.setattr(tutorial, "SIZE", 32)
    story = told()
    assert len(story) > 6
    for command, shown in story:
        if command.startswith("python "):
            assert command == "python examples/tutorial_network.py"
            tutorial.main()
            continue
        words = shlex.split(command.replace("onnxruntime-cpu", "fake"))[1:]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, f"{command}\n{done.output}"
        said = {masked(line) for line in done.output.splitlines()}
        strange = [line for line in shown if masked(line) not in said]
        assert not strange, f"{command} does not say\n{strange}\nbut\n{done.output}"
    for name in ("plan.json", "smaller.onnx", "report.html", "front.svg"):
        assert (tmp_path / name).stat().st_size > 0
