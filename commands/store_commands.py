"""Looking after the store: `rankwise db ...`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..workflow.store import DEFAULT_DB
from .errors import command
from .options import Db, Debug

db_app = typer.Typer(help="Look after the store of measurements.", no_args_is_help=True)


@db_app.command("export")
def db_export(
    target: Annotated[Path, typer.Argument(metavar="FILE.zip", help="Is not to exist yet.")],
    db: Db = DEFAULT_DB,
    debug: Debug = False,
) -> None:
    """Write all measurements and plans into one portable file."""
    with command(debug):
        from ..workflow.store import export_store

        typer.echo(export_store(target, db))


@db_app.command("import")
def db_import(
    sources: Annotated[list[Path], typer.Argument(metavar="FILE.zip...", help="Of db export.")],
    db: Db = DEFAULT_DB,
    debug: Debug = False,
) -> None:
    """Merge files from other stores; again, it changes nothing. A damaged one is refused."""
    with command(debug):
        from ..workflow.store import import_store

        for source in sources:
            typer.echo(import_store(source, db))


@db_app.command("check")
def db_check(db: Db = DEFAULT_DB, debug: Debug = False) -> None:
    """Look for damage and loose ends; status 1 if there are any."""
    with command(debug):
        from ..workflow.store import check

        problems = check(db)
        for problem in problems:
            typer.echo(problem)
        typer.echo("nothing wrong" if not problems else f"{len(problems)} problems", err=True)
        raise typer.Exit(1 if problems else 0)


@db_app.command("upgrade")
def db_upgrade(db: Db = DEFAULT_DB, debug: Debug = False) -> None:
    """Bring an older database to this version's schema; a backup is made first."""
    with command(debug):
        from ..workflow.store import upgrade

        typer.echo(upgrade(db))


@db_app.command("prune")
def db_prune(
    older_than: Annotated[
        str, typer.Option(metavar="90d", help="Age of a session: 12h, 90d or 8w.")
    ],
    db: Db = DEFAULT_DB,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Give the room back to the disk; others wait.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Drop the raw samples of old sessions; their summaries, and so all tables, stay."""
    with command(debug):
        from ..workflow.store import prune

        typer.echo(prune(_age(older_than), db, dry_run=dry_run, compact=compact))


def _age(text: str) -> timedelta:
    units = {"h": "hours", "d": "days", "w": "weeks"}
    try:
        return timedelta(**{units[text[-1]]: float(text[:-1])})
    except (ValueError, KeyError, IndexError, OverflowError):
        raise UsageError(
            f"--older-than {text!r} cannot be read; write it like 12h, 90d or 8w"
        ) from None
