"""Looking after the store: `rankwise db ...`."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..options.shared import DEFAULT_DB, Db
from .command import command
from .help_text import HelpCommand, HelpGroup

db_app = typer.Typer(
    help="Look after the store of measurements.", cls=HelpGroup, no_args_is_help=True
)

FILE = typer.Argument(metavar="FILE.zip", help="Is not to exist yet.")


@db_app.command("export", cls=HelpCommand)
@command
def db_export(
    target: Annotated[Path | None, FILE] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The same file.")] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Write all measurements and plans into one portable file."""
    from ..workflow.store import export_store

    file = output or target
    if file is None or (output and target):
        raise UsageError("say which file is written: -o FILE.zip")
    typer.echo(export_store(file, db))


@db_app.command("import", cls=HelpCommand)
@command
def db_import(
    sources: Annotated[list[Path], typer.Argument(metavar="FILE.zip...", help="Of db export.")],
    db: Db = DEFAULT_DB,
) -> None:
    """Merge files from other stores; again, it changes nothing. A damaged one is refused."""
    from ..workflow.store import import_store

    for source in sources:
        typer.echo(import_store(source, db))


@db_app.command("check", cls=HelpCommand)
@command
def db_check(db: Db = DEFAULT_DB) -> None:
    """Look for damage and loose ends; status 1 if there are any."""
    from ..workflow.store import check_store

    problems = check_store(db)
    for problem in problems:
        typer.echo(problem)
    typer.echo("nothing wrong" if not problems else f"{len(problems)} problems", err=True)
    raise typer.Exit(1 if problems else 0)


@db_app.command("upgrade", cls=HelpCommand)
@command
def db_upgrade(db: Db = DEFAULT_DB) -> None:
    """Bring an older database to this version's schema; a backup is made first."""
    from ..workflow.store import upgrade_store

    typer.echo(upgrade_store(db))


@db_app.command("prune", cls=HelpCommand)
@command
def db_prune(
    older_than: Annotated[
        str, typer.Option(metavar="90d", help="Age of a session: 12h, 90d or 8w.")
    ],
    db: Db = DEFAULT_DB,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Give the room back to the disk; others wait.")
    ] = False,
) -> None:
    """Drop the raw samples of old sessions; their summaries, and so all tables, stay."""
    from ..workflow.store import prune_store

    typer.echo(prune_store(older_than, db, dry_run=dry_run, compact=compact))
