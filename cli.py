"""The command line: which commands there are. Nothing heavy is imported before it is needed."""

from __future__ import annotations

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
from .commands.help_text import HelpCommand, HelpGroup
from .commands.root import root

app = typer.Typer(
    help="Which layers does low-rank decomposition really make faster on this device, and at "
    "which ranks? Measure, keep, search, plan, apply, measure again.",
    cls=HelpGroup,
    no_args_is_help=True,
    context_settings={"max_content_width": 100},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.callback()(root)

# In the order in which they are used, and shown by --help.
for function in (
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
):
    app.command(function.__name__.replace("_", "-"), cls=HelpCommand)(command(function))
app.add_typer(store_commands.db_app, name="db")


def main() -> Any:
    """Entry point of the `rankwise` command, which is called so however it was started."""
    return app(prog_name="rankwise")
