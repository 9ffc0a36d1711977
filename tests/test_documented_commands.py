"""What documents tell people to type is taken: commands, make targets, scripts, code, settings."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from rankwise.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(rankwise [^`]+)`")
TYPED = re.compile(r"^(?:\$ )?(?:\w+=\S+ )*(rankwise .*)$")


def blocks(*languages: str) -> Iterator[tuple[str, str]]:
    """Yield (page, text) of fenced blocks in one of these languages; of all without any."""
    for page in PAGES:
        for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if not languages or language in languages:
                yield page.name, text


def typed() -> Iterator[str]:
    """Yield every command of every block, without the program's name."""
    for _, block in blocks():
        for line in block.replace("\\\n", " ").splitlines():
            found = TYPED.match(line.strip())
            if found and "..." not in line:
                yield shlex.join(shlex.split(found[1], comments=True)[1:])


def named() -> Iterator[str]:
    """Yield every command that stands in a sentence, without the program's name."""
    for page in PAGES:
        text = BLOCK.sub("", page.read_text(encoding="utf-8"))
        for found in INLINE.findall(text.replace("\\|", "|")):
            yield " ".join(found.split()[1:])


COMMANDS = list(dict.fromkeys(typed()))
NAMED = list(dict.fromkeys(named()))
SNIPPETS = [pytest.param(text, id=f"{page}-{n}") for n, (page, text) in enumerate(blocks("python"))]


@cache
def root() -> Any:
    return typer.main.get_command(app)


def find(words: list[str]) -> Any:
    """The command that the first words name; they are taken off the list."""
    command = root()
    while (commands := getattr(command, "commands", None)) and words and words[0] in commands:
        command = commands[words.pop(0)]
    return command


def test_there_are_some() -> None:
    assert len(COMMANDS) > 20
    assert len(NAMED) > 20


@pytest.mark.parametrize("line", COMMANDS)
def test_it_is_taken(line: str) -> None:
    """Names, options and the number of arguments; nothing runs."""
    words = shlex.split(line)
    command = find(words)
    if command is not root():
        command.make_context(command.name, words)
    else:
        assert set(words) <= options_of(command)


@pytest.mark.parametrize("line", NAMED)
def test_what_a_sentence_names_is_there(line: str) -> None:
    """Commands and options by name; what stands for a value may be anything."""
    words = line.split()
    known = options_of(command := find(words))
    assert command is not root() or words[0] in {"COMMAND", *known}, f"no command {words[0]}"
    flags = {re.split("[=.|]", word)[0].strip("[]") for word in words}
    assert {flag for flag in flags if flag.startswith("--")} <= known


def options_of(command: Any) -> set[str]:
    options = (one for one in command.params if one.param_type_name == "option")
    return {"--help", *(flag for one in options for flag in (*one.opts, *one.secondary_opts))}


def test_targets_of_make_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    code = "\n".join(text for _, text in blocks())
    wanted = set(re.findall(r"^(?:\$ )?make ([a-z][a-z-]*)", code, re.MULTILINE))
    for page in PAGES:  # outside of code, sentences make other things
        wanted |= set(re.findall(r"`make ([a-z][a-z-]*)", page.read_text(encoding="utf-8")))
    assert wanted
    assert wanted <= targets


def test_scripts_are_there() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"\b((?:benchmarks|examples|tests)/[\w/]+\.py)\b", text))
    assert named
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("text", SNIPPETS)
def test_code_is_python(text: str) -> None:
    ast.parse(text)


@pytest.mark.parametrize("text", [text for _, text in blocks("toml")])
def test_settings_are_toml(text: str) -> None:
    tomllib.loads(text)


def test_messages_that_are_explained_are_said() -> None:
    """docs/troubleshooting.md quotes sentences of the source, with `...` for what differs."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \|", page, re.MULTILINE)
    quoted = [part.strip() for row in rows for one in re.findall(r"`([^`]*)`", row)
              for part in re.split(r"\.\.\.|;", one)]  # fmt: skip
    sentences = [part for part in quoted if " " in part and not part.startswith("--")]
    assert len(sentences) > 20
    source = "\n".join(path.read_text(encoding="utf-8") for path in sources())
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    assert not [part for part in sentences if part not in source]


def sources() -> Iterator[Path]:
    """The product's modules."""
    names = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    for package in names["packages"]:
        yield from ROOT.joinpath(*package.split(".")[1:]).glob("*.py")
