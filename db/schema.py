"""The schema's version: read it, create it, upgrade it.

Alembic is imported only for an upgrade, because importing it takes longer than a query: a
new database is created from `tables` and stamped, and a test holds that this equals what
the migrations build.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, inspect, select

from ..errors import StoreError
from . import tables, views
from .database import Database, unused
from .error_messages import translating
from .url import DatabaseUrl, locate, require_usable

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every revision in db/migrations/versions, oldest first; the last is the current schema."""

DROPPED = ("calibrations", "error_curves")
"""Tables of older schemas that a migration drops: a backup holds them."""

MIGRATIONS = Path(__file__).parent / "migrations"


def read_version(connection: Connection) -> str | None:
    """Return the stamped revision, or None for a database without ours."""
    if not inspect(connection).has_table(tables.VERSION_TABLE):
        return None
    return connection.scalar(select(tables.version.c.version_num))


def prepare(database: Database, *, create: bool) -> None:
    """Make sure that the database has the current schema; create it in an empty one."""
    url = database.url
    with database.reading() as connection:
        version = read_version(connection)
        names = set(inspect(connection).get_table_names()) if version is None else set()
    if version is None:
        _require_empty(url, names, create)
        _create(database)
    else:
        require_current(url, version)


def _require_empty(url: DatabaseUrl, names: set[str], create: bool) -> None:
    # On a server a database may be shared; a file of another program is left alone.
    foreign = names if url.is_sqlite else names & tables.metadata.tables.keys()
    if foreign or not create:
        raise StoreError(f"{url.name} is not a rankwise database; give another one as --db")


def require_current(url: DatabaseUrl, version: str) -> None:
    """Refuse a schema that this version of rankwise does not speak."""
    if version not in REVISIONS:
        raise StoreError(
            f"{url.name} was made by a newer rankwise (schema {version}); upgrade rankwise"
        )
    if version != REVISIONS[-1]:
        raise StoreError(
            f"{url.name} was made by an older rankwise (schema {version}); "
            "run `rankwise db upgrade`"
        )


def _create(database: Database) -> None:
    if database.url.path is not None:
        _use_wal(database)
    with database.writing() as connection:
        # Another process may have created it since we looked; the write lock is ours now.
        if read_version(connection) is None:
            tables.metadata.create_all(connection, checkfirst=False)
            tables.version.create(connection)
            connection.execute(tables.version.insert().values(version_num=REVISIONS[-1]))
            views.create(connection)


def _use_wal(database: Database) -> None:
    """Readers never wait for the writer. The mode stays in the file. Where a file system
    cannot do it, SQLite keeps its old mode, which is slower but right."""
    deadline = time.monotonic() + 5.0
    with translating(database.url), closing(database.engine.raw_connection()) as connection:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                # The busy timeout does not cover this switch.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def upgrade(text: str) -> str:
    """Bring the database at a URL or path to the current schema; says in one sentence what was
    done.

    An SQLite file is first copied to `<name>.backup-<old version>` beside it; on a server the
    tables are copied to a schema of such a name. The migrations run in one transaction, so a
    failure leaves the database as it was. Raises `StoreError`.
    """
    url = locate(text)
    require_usable(url, create=False, readonly=False)
    database = Database(url, create=False, readonly=False)
    try:
        with database.reading() as connection:
            version = read_version(connection)
        if version is None:
            raise StoreError(f"{url.name} is not a rankwise database; give another one as --db")
        if version == REVISIONS[-1]:
            return f"{url.name} is up to date (schema {version})"
        if version not in REVISIONS:
            require_current(url, version)
        # The lock first: nothing may be written between the copy and the migration.
        with database.writing() as connection:
            backup = _back_up(url, connection, version)
            migrate(connection)
        kept = f"; as it was before, it is kept in {backup}" if backup else ""
        return f"{url.name} was upgraded to schema {REVISIONS[-1]}{kept}"
    finally:
        database.dispose()


def migrate(connection: Connection) -> None:
    """Run the migrations that are missing, in the connection's transaction.

    Views are made anew: they are no history, and one that stands in its way would make
    SQLite refuse to change a table.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    views.drop(connection)
    command.upgrade(config, "head")
    views.create(connection)


def _back_up(url: DatabaseUrl, connection: Connection, version: str) -> str:
    if not url.is_sqlite:
        return _copy_schema(connection, version)
    return "" if url.path is None else str(_copy_file(url, url.path, version))


def _copy_file(url: DatabaseUrl, path: Path, version: str) -> Path:
    target = unused(path.with_name(f"{path.name}.backup-{version}"))
    _require_space(path)
    with (
        translating(url),
        closing(sqlite3.connect(path)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    return target


def _copy_schema(connection: Connection, version: str) -> str:
    """Copy our tables into a new schema of the same database, in the same transaction."""
    inspector = inspect(connection)
    quote = connection.dialect.identifier_preparer.quote
    taken, base = inspector.get_schema_names(), f"{inspector.default_schema_name}_backup_{version}"
    names = (base, *(f"{base}_{number}" for number in range(2, 10_000)))
    target = next(name for name in names if name not in taken)
    connection.exec_driver_sql(f"CREATE SCHEMA {quote(target)}")
    ours = {*tables.metadata.tables, *DROPPED, tables.VERSION_TABLE}
    for name in sorted(ours & set(inspector.get_table_names())):
        copy = f"{quote(target)}.{quote(name)}"
        connection.exec_driver_sql(f"CREATE TABLE {copy} AS TABLE {quote(name)}")
    return f"schema {target}"


def _require_space(path: Path) -> None:
    if shutil.disk_usage(path.parent).free < 2 * path.stat().st_size:
        raise StoreError(f"the disk that holds {path} is too full for its backup; free some space")
