"""The command line: which commands there are. Nothing heavy is imported before it is needed."""

from __future__ import annotations

from typing import Any

import typer

from .commands import exploring, measuring, planning, serving, store, training
from .commands.remote import served

app = typer.Typer(
    help="Which layers does low-rank decomposition really make faster on this device, and at "
    "which ranks? Measure, keep, search, plan, apply, measure again.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# In the order in which they are used, and shown by --help.
for function in (
    measuring.devices,
    measuring.doctor,
    measuring.layers,
    measuring.profile,
    measuring.table,
    exploring.pareto,
    planning.plan,
    exploring.explain,
    exploring.what_if,
    planning.apply,
    planning.verify,
    training.recover,
    training.finetune,
):
    app.command(function.__name__.replace("_", "-"))(served(function))
app.command()(serving.report)
app.command()(serving.serve)
app.add_typer(store.db_app, name="db")


def main() -> Any:
    """Entry point of the `rankwise` command."""
    return app()
