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
from .database import BUSY_TIMEOUT_S, Database, unused
from .error_messages import translating
from .url import Place, locate, require_usable

REVISIONS = ("0001", "0002")
"""Every revision in db/migrations/versions, oldest first; the last is the current schema."""

MIGRATIONS = Path(__file__).parent / "migrations"


def read_version(connection: Connection) -> str | None:
    """The stamped revision, or None for a database without ours."""
    if not inspect(connection).has_table(tables.VERSION_TABLE):
        return None
    return connection.scalar(select(tables.version.c.version_num))


def prepare(database: Database, *, create: bool) -> None:
    """Make sure that the database has the current schema; create it in an empty one."""
    place = database.place
    with database.reading() as connection:
        version = read_version(connection)
        names = set(inspect(connection).get_table_names()) if version is None else set()
    if version is None:
        _require_empty(place, names, create)
        _create(database)
    else:
        require_current(place, version)


def _require_empty(place: Place, names: set[str], create: bool) -> None:
    # On a server a database may be shared; a file of another program is left alone.
    foreign = names if place.is_sqlite else names & tables.metadata.tables.keys()
    if foreign or not create:
        raise StoreError(f"{place.name} is not a rankwise database; give another one as --db")


def require_current(place: Place, version: str) -> None:
    """Refuse a schema that this version of rankwise does not speak."""
    if version not in REVISIONS:
        raise StoreError(
            f"{place.name} was made by a newer rankwise (schema {version}); upgrade rankwise"
        )
    if version != REVISIONS[-1]:
        raise StoreError(
            f"{place.name} was made by an older rankwise (schema {version}); "
            "run `rankwise db upgrade`"
        )


def _create(database: Database) -> None:
    if database.place.path is not None:
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
    with translating(database.place), closing(database.engine.raw_connection()) as connection:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                # The busy timeout does not cover this switch.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def upgrade(url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> tuple[str, str, bool]:
    """Bring a database to the current schema: its version, its backup's name (empty: none was
    made), whether it changed.

    An SQLite file is first copied to `<name>.backup-<old version>` beside it; on a server the
    tables are copied to a schema of such a name. The migrations run in one transaction, so a
    failure leaves the database as it was. Raises `StoreError`.
    """
    place = locate(url)
    require_usable(place, create=False, readonly=False)
    database = Database(place, create=False, readonly=False, busy_timeout_s=busy_timeout_s)
    try:
        with database.reading() as connection:
            version = read_version(connection)
        if version is None:
            raise StoreError(f"{place.name} is not a rankwise database; give another one as --db")
        if version == REVISIONS[-1]:
            return version, "", False
        if version not in REVISIONS:
            require_current(place, version)
        # The lock first: nothing may be written between the copy and the migration.
        with database.writing() as connection:
            backup = _back_up(place, connection, version)
            migrate(connection)
        return REVISIONS[-1], backup, True
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


def _back_up(place: Place, connection: Connection, version: str) -> str:
    if not place.is_sqlite:
        return _copy_schema(connection, version)
    return "" if place.path is None else str(_copy_file(place, place.path, version))


def _copy_file(place: Place, path: Path, version: str) -> Path:
    target = unused(path.with_name(f"{path.name}.backup-{version}"))
    _require_space(path)
    with (
        translating(place),
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
    ours = {*tables.metadata.tables, tables.VERSION_TABLE}
    for name in sorted(ours & set(inspector.get_table_names())):
        copy = f"{quote(target)}.{quote(name)}"
        connection.exec_driver_sql(f"CREATE TABLE {copy} AS TABLE {quote(name)}")
    return f"schema {target}"


def _require_space(path: Path) -> None:
    if shutil.disk_usage(path.parent).free < 2 * path.stat().st_size:
        raise StoreError(f"the disk that holds {path} is too full for its backup; free some space")
