"""Looking after the store: `rankwise db ...`."""

from __future__ import annotations

import typer

from ..workflow.storage import DEFAULT_DB
from .options import Db, Debug
from .running import command

db_app = typer.Typer(help="Look after the store of measurements.", no_args_is_help=True)


@db_app.command("check")
def db_check(db: Db = DEFAULT_DB, debug: Debug = False) -> None:
    """Look for damage and loose ends; status 1 if there are any."""
    with command(debug):
        from ..workflow.storage import check

        problems = check(db)
        for problem in problems:
            typer.echo(problem)
        typer.echo("nothing wrong" if not problems else f"{len(problems)} problems", err=True)
        raise typer.Exit(1 if problems else 0)


@db_app.command("upgrade")
def db_upgrade(db: Db = DEFAULT_DB, debug: Debug = False) -> None:
    """Bring an older database to this version's schema; a backup is made first."""
    with command(debug):
        from ..workflow.storage import upgrade

        typer.echo(upgrade(db))
