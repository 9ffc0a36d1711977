"""Options as they would be typed: the command line takes what is written, and makes them again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from rankwise.cli import app
from rankwise.commands.command import _value
from rankwise.options.command_lines import command_line
from rankwise.options.measuring import ProfileOptions
from rankwise.options.networks import ApplyOptions
from rankwise.options.option import option_fields
from rankwise.options.planning import PlanOptions
from rankwise.options.tuning import TuneOptions

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("verb", "options", "values"),
    [
        (
            "profile",
            ProfileOptions,
            {
                "model": "my net.onnx",
                "backend": "fake:step=2",
                "kinds": ["svd", "cp"],
                "input_shape": (1, 3, 8, 8),
                "inputs": [("ids", (1, 16), "int64"), ("x", (), "")],
                "max_time_s": 600.0,
                "rank_quantum": 24,
                "refresh": True,
            },
        ),
        ("plan", PlanOptions, {"model": "m", "backend": "fake", "output": Path("p.json")}),
        ("plan", PlanOptions, {"model": "m", "backend": "b", "output": Path("p"), "refine": False}),
        ("apply", ApplyOptions, {"plan": Path("p"), "model": "m", "output": Path("o.onnx")}),
        ("tune", TuneOptions, {"model": "m", "backend": "b", "max_time_s": 5400.0}),
    ],
)
def test_it_is_read_as_it_was(verb: str, options: type, values: dict[str, Any]) -> None:
    words = shlex.split(command_line(verb, options, values))
    assert words[:2] == ["rankwise", verb]
    parsed = COMMANDS[verb].make_context(verb, words[2:]).params
    for field in option_fields(options):
        wanted = values.get(field.name, field.default)
        got = _value(field, parsed)
        assert (list(got) if field.repeats else got) == (list(wanted) if field.repeats else wanted)


def test_short_and_only_what_was_said() -> None:
    given = {"model": "net.onnx", "backend": "fake", "max_time_s": 600.0, "output": Path("a.onnx")}
    line = command_line("tune", TuneOptions, given)
    assert line == "rankwise tune net.onnx --backend fake -o a.onnx --max-time 10m"


def test_an_object_has_no_name() -> None:
    assert "MODEL" in command_line("profile", ProfileOptions, {"model": object(), "backend": "b"})
