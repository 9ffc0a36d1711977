"""Commands that README and docs/ show are ones that the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from rankwise.cli import app

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documented() -> Iterator[str]:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("rankwise "):
                    yield shlex.join(shlex.split(line, comments=True)[1:])


COMMANDS = list(dict.fromkeys(documented()))


def test_there_are_some() -> None:
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("line", COMMANDS)
def test_it_is_taken(line: str) -> None:
    """Names, options and the number of arguments; nothing runs."""
    command, words = typer.main.get_command(app), shlex.split(line)
    while commands := getattr(command, "commands", None):
        command = commands[words.pop(0)]
    command.make_context(command.name, words)
