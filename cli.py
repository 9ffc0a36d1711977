"""The command line: which commands there are. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer

from .commands import (
    plan_commands,
    profile_commands,
    service_commands,
    store_commands,
    tune_commands,
)
from .commands.command import command
from .commands.config_file import is_configured
from .commands.help_text import HelpCommand, HelpGroup
from .commands.root import root

FUNCTIONS = (
    tune_commands.tune,
    profile_commands.devices,
    profile_commands.doctor,
    profile_commands.layers,
    profile_commands.profile,
    profile_commands.table,
    plan_commands.pareto,
    plan_commands.plan,
    plan_commands.explain,
    plan_commands.what_if,
    plan_commands.apply,
    plan_commands.verify,
    plan_commands.recover,
    plan_commands.finetune,
    service_commands.report,
    service_commands.serve,
    service_commands.worker,
)
"""In the order in which they are used, and shown by --help."""


def make_app(called: str | None = None) -> typer.Typer:
    """The command line, with all options of every command, or of the one that is `called` only:
    making options of all of them takes as long as everything else that --help does. So does the
    library that typer loads to look at the options of completion, which stand before commands."""
    names = {function.__name__.replace("_", "-"): function for function in FUNCTIONS}
    made = typer.Typer(
        add_completion=called not in (*names, "db"),
        help="Which layers does low-rank decomposition really make faster on this device, and at "
        "which ranks? Measure, keep, search, plan, apply, measure again.",
        cls=HelpGroup,
        no_args_is_help=True,
        context_settings={"max_content_width": 100},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    made.callback()(root)
    for name, function in names.items():
        body = command(function) if called in (None, name) else _described(function)
        made.command(name, cls=HelpCommand)(body)
    made.add_typer(store_commands.db_app, name="db")
    return made


def _described(function: Callable[..., None]) -> Callable[[], None]:
    """A command of which only the name and the help are asked for."""

    def nothing() -> None: ...

    nothing.__doc__ = function.__doc__
    return nothing


def _called(words: Sequence[str]) -> str | None:
    """The command that the words call; empty for none, None where all have to be known."""
    if is_configured() or "_RANKWISE_COMPLETE" in os.environ:
        return None
    return next((word for word in words if not word.startswith("-")), "")


def __getattr__(name: str) -> Any:
    """`app`: the whole command line, made when somebody asks for it."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = made = make_app()
    return made


def main() -> Any:
    """Entry point of the `rankwise` command, which is called so however it was started."""
    return make_app(_called(sys.argv[1:]))(prog_name="rankwise")
