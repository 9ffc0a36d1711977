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


def told() -> list[tuple[list[str], list[str]]]:
    """Each block of commands of the page, and the lines that it shows of their answers."""
    story: list[tuple[list[str], list[str]]] = []
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "sh":
            lines = text.replace("\\\n", " ").splitlines()
            commands = [line for line in lines if line.startswith(("rankwise ", "python "))]
            story.append((commands, []))
        elif story:
            story[-1][1].extend(line for line in text.splitlines() if line.strip(" ."))
    return story


def masked(line: str) -> str:
    """The line without what is measured and chosen: numbers, units, kinds, verdicts, devices."""
    line = re.sub(r"(onnxruntime-cpu|fake)( [0-9a-f]{6}\b)?", "DEVICE", line)
    line = re.sub(r"^(network .* on DEVICE).*", r"\1", line)  # the name of its chip
    line = re.sub(f"{KIND} {NUMBER}", "CHOSEN", re.sub(r"\b(ms|us|s)\b", "UNIT", line))
    line = re.sub(NUMBER, "N", re.sub(VERDICT, "VERDICT", line))
    line = re.sub("N VERDICT(, N VERDICT)*", "VERDICTS", line)
    if "DEVICE" not in line:  # what a plan decides of a layer, and why
        line = re.sub(r"(?<=->N) +(CHOSEN|original) .*", " DECIDED", line)
    return " ".join(line.split())


def printed(command: str, tutorial: ModuleType) -> str:
    """What a command of the page says on the fake backend."""
    if command.startswith("python "):
        assert command == "python examples/tutorial_network.py"
        tutorial.main()
        return ""
    words = shlex.split(command.replace("onnxruntime-cpu", "fake"))[1:]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, f"{command}\n{done.output}"
    return done.output


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
    for commands, shown in story:
        said = "".join(printed(command, tutorial) for command in commands)
        known = {masked(line) for line in said.splitlines()}
        strange = [line for line in shown if masked(line) not in known]
        assert not strange, f"{commands} do not say\n{strange}\nbut\n{said}"
    for name in ("plan.json", "smaller.onnx", "report.html", "front.svg", "net.small.onnx"):
        assert (tmp_path / name).stat().st_size > 0


def test_what_commands_print_is_written_into_the_page(
    example: Callable[[str], ModuleType],
) -> None:
    page = "a\n```sh\none\n```\n\n```text\nold\n```\nb\n\n```sh\ntwo\n```\n\nc\n"
    asked: list[str] = []

    def run(commands: str) -> str:
        asked.append(commands)
        chance = "channels are matched: so\n3/9 profile: conv2d 3x3\nplan: asking\n"
        return chance + "".join(f"line {n} \n" for n in range(30))

    written = example("write_tutorial").rewritten(page, run)
    assert asked == ["one\n", "two\n"]
    shown = [0, 1, 2, 3, "...", 26, 27, 28, 29]
    lines = "".join(f"line {n}\n" if isinstance(n, int) else f"{n}\n" for n in shown)
    assert written == page.replace("old\n", lines)
