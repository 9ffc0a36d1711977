"""What stands before the command's name: the version, and the project's own defaults."""

from typing import Annotated

import typer

from ..version import __version__
from .config_file import configured
from .errors import as_sentences


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"rankwise {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Say the version.", callback=_version, is_eager=True),
]


def root(context: typer.Context, version: Version = False) -> None:  # noqa: ARG001
    """Set for each command what the project's file says."""
    if not context.resilient_parsing:
        with as_sentences(debug=False):
            commands = getattr(context.command, "commands", {})
            context.default_map = configured(commands)
