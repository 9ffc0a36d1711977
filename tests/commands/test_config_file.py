"""What a project sets once: taken below what is typed, refused where no command has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from rankwise.cli import app
from rankwise.commands.config_file import configured
from rankwise.errors import UsageError

GROUP: Any = typer.main.get_command(app)
TOML = """
db = "sqlite:///lab.db"
backend = "openvino-cpu"
threads = 4
kinds = ["svd", "tucker2"]

[plan]
max-error = 0.1
backend = "torch-cpu"
refine = false

[table]
device = ["torch-cpu", "fake"]
"""


def parsed(*words: str) -> dict[str, Any]:
    """The parameters of a command as they arrive, nothing run."""
    context = GROUP.make_context("rankwise", list(words))
    context.default_map = configured(GROUP.commands)
    command = GROUP.commands[words[0]]
    return dict(command.make_context(words[0], list(words[1:]), parent=context).params)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "rankwise.toml"
    file.write_text(TOML)
    return file


@pytest.mark.usefixtures("config")
def test_what_is_set_and_what_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = parsed("profile", "net")
    assert (profile["backend"], profile["threads"]) == ("openvino-cpu", 4)
    assert (profile["kinds"], profile["db"]) == ("svd,tucker2", "sqlite:///lab.db")
    plan = parsed("plan", "net", "-o", "p.json", "--threads", "2")
    assert (plan["backend"], plan["max_error"]) == ("torch-cpu", 0.1)
    assert (plan["refine"], plan["threads"]) == (False, 2)
    assert list(parsed("table")["devices"]) == ["torch-cpu", "fake"]
    monkeypatch.setenv("RANKWISE_DB", "sqlite:///mine.db")
    assert parsed("table")["db"] == "sqlite:///mine.db"


@pytest.mark.usefixtures("config")
def test_inner_commands_have_it_too() -> None:
    assert configured(GROUP.commands)["db"]["check"] == {"db": "sqlite:///lab.db"}


def test_a_table_of_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert configured(GROUP.commands) == {}
    (tmp_path / "pyproject.toml").write_text("[tool.rankwise]\nthreads = 3\n")
    assert parsed("profile", "net")["threads"] == 3
    (tmp_path / "rankwise.toml").write_text("threads = 5\n")
    assert parsed("profile", "net")["threads"] == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bakend = 'fake'", "'bakend', which is no option of any command (did you mean 'backend'"),
        ("[plam]\nseed = 1", "[plam], which is no command (did you mean 'plan'"),
        ("[table]\nmax-error = 1", "'max-error' in [table], which is no option of that command"),
        ("threads = ", "rankwise.toml cannot be read"),
    ],
)
def test_what_no_command_has_is_an_error(
    rankwise: Any, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "rankwise.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        configured(GROUP.commands)
    assert said in str(error.value)
    result = rankwise("devices", "--json")
    assert result.exit_code == 2
    assert "rankwise: " in result.stderr
