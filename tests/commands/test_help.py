"""--help: examples that are taken, options in groups; the version, suggestions, completion."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pexpect
import pytest
import typer.main
from typer.testing import CliRunner

import rankwise
from rankwise.cli import app
from rankwise.commands.examples import examples

GROUP: Any = typer.main.get_command(app)


def every_command() -> Iterator[tuple[str, Any]]:
    for name, command in GROUP.commands.items():
        yield name, command
        for inner, sub in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", sub


COMMANDS = dict(every_command())


def call(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_help_has_examples_that_are_taken(name: str) -> None:
    found = examples()[name]
    shown = call(*name.split(), "--help").stdout
    for purpose, line in found:
        assert f"  # {purpose}\n  {line}\n" in shown  # in one line, to be copied
        words = shlex.split(line)
        assert words[0] == "rankwise"
        command, words = GROUP, words[1:]
        while commands := getattr(command, "commands", None):
            command = commands[words.pop(0)]
        command.make_context(command.name, words)


def test_no_example_is_of_nothing() -> None:
    assert set(examples()) == {"", *COMMANDS}


def test_options_are_in_groups() -> None:
    shown = call("plan", "--help").stdout
    places = [shown.index(f"\n{name}:\n") for name in ("Arguments", "Options", "Network")]
    places += [shown.index(f"\n{name}:\n") for name in ("Pictures", "Device", "Every command")]
    assert places == sorted(places)
    last = shown[places[-1] :]
    assert all(flag in last for flag in ("--db", "--json", "--quiet", "--debug", "--help"))


def test_every_option_says_what_it_is() -> None:
    silent = [
        f"{name} {param.name}"
        for name, command in COMMANDS.items()
        for param in command.params
        if not getattr(param, "help", None)
    ]
    assert not silent


def test_the_version() -> None:
    assert call("--version").stdout == f"rankwise {rankwise.__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tun", "x"], "Did you mean 'tune'"),
        (["plan", "x", "--max-eror", "1"], "--max-error"),
        (["db", "exprt"], "Did you mean 'export'"),
    ],
)
def test_suggestions(words: list[str], said: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_archive_has_one_name(tmp_path: Path) -> None:
    assert "-o FILE.zip" in call("db", "export").stderr
    assert call("db", "export", "a.zip", "-o", "b.zip").exit_code == 2
    made = tmp_path / "lab.zip"
    call("profile", "nosuch.onnx")
    result = call("db", "export", "-o", str(made))
    assert result.exit_code == 2  # there is no store yet
    assert "lab.zip" not in result.stderr


def completing(folder: Path, shell: str) -> dict[str, str]:
    """An environment in which `rankwise` is this one, and says its script for that shell."""
    program = folder / "rankwise"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m rankwise "$@"\n')
    program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "_RANKWISE_COMPLETE": f"source_{shell}"}


@pytest.mark.parametrize(
    ("shell", "names"),
    [
        ("bash", "complete -o default -F _rankwise_completion rankwise"),
        ("zsh", "compdef _rankwise_completion rankwise"),
        ("fish", "complete --command rankwise"),
    ],
)
def test_a_script_for_each_shell(shell: str, names: str, tmp_path: Path) -> None:
    env = completing(tmp_path, shell)
    done = subprocess.run(["rankwise"], capture_output=True, text=True, env=env, check=False)
    assert names in done.stdout, done.stderr


def test_bash_completes(need: Callable[[str, str], NoReturn], tmp_path: Path) -> None:
    """In a real bash: the script that rankwise gives, and what TAB then finds."""
    bash = shutil.which("bash") or need("bash", "no bash here")
    script = """
    eval "$(rankwise)"
    unset _RANKWISE_COMPLETE
    ask() {
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _rankwise_completion "$1"
        echo "${COMPREPLY[*]}"
    }
    ask rankwise ver
    ask rankwise plan net.onnx --max-e
    ask rankwise db ex
    """
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=completing(tmp_path, "bash"),
    )
    assert done.stdout.splitlines() == ["verify", "--max-error", "export"], done.stderr


ASKED = {
    "rankwise ver": "verify",
    "rankwise plan net.onnx --max-e": "--max-error",
    "rankwise db ex": "export",
    "rankwise layers ne": "net.onnx",
}
"""What is typed, and how its last word ends once TAB was pressed: the last one is a file's name."""


@pytest.fixture
def typing(tmp_path: Path) -> Path:
    """A folder with a file to be completed."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "net.onnx").touch()
    return tmp_path / "here"


def test_fish_completes(need: Callable[[str, str], NoReturn], typing: Path, tmp_path: Path) -> None:
    fish = shutil.which("fish") or need("fish", "no fish here")
    begin = "rankwise | source; set --erase _RANKWISE_COMPLETE"
    lines = [f"complete --do-complete {shlex.quote(words)}" for words in ASKED]
    done = subprocess.run(
        [fish, "--no-config", "-c", "\n".join([begin, *lines])],
        capture_output=True,
        text=True,
        check=True,
        cwd=typing,
        env=completing(tmp_path, "fish") | {"HOME": str(tmp_path)},
    )
    found = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert found == list(ASKED.values()), done.stderr


def test_zsh_completes(need: Callable[[str, str], NoReturn], typing: Path, tmp_path: Path) -> None:
    """Typed into a zsh, with a TAB and a key that takes the line away again."""
    zsh = shutil.which("zsh") or need("zsh", "no zsh here")
    env = completing(tmp_path, "zsh") | {"HOME": str(tmp_path), "TERM": "dumb", "PS1": "ready> "}
    shell = pexpect.spawn(
        zsh, ["--no-rcs"], cwd=str(typing), env=env, encoding="utf-8", timeout=60,
        dimensions=(24, 200),
    )  # fmt: skip
    shell.expect_exact("ready> ")
    begin = 'autoload -Uz compinit && compinit -u; eval "$(rankwise)"; unset _RANKWISE_COMPLETE'
    shell.sendline(begin)
    shell.expect_exact("ready> ")
    for words, end in ASKED.items():
        shell.send(f"{words}\t")
        shell.expect_exact(words.split()[-1])
        shell.expect_exact(end.removeprefix(words.split()[-1]))
        shell.sendcontrol("u")
    shell.close(force=True)
