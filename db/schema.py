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

from sqlalchemy import Connection, Engine, inspect, select

from ..errors import StoreError
from . import tables
from .engine import (
    BUSY_TIMEOUT_S,
    Place,
    locate,
    make_engine,
    reading,
    require_usable,
    translating,
    writing,
)

REVISIONS = ("0001", "0002_jobs")
"""Every revision in db/migrations/versions, oldest first; the last is the current schema."""

MIGRATIONS = Path(__file__).parent / "migrations"


def read_version(connection: Connection) -> str | None:
    """The stamped revision, or None for a database without ours."""
    if not inspect(connection).has_table(tables.VERSION_TABLE):
        return None
    return connection.scalar(select(tables.version.c.version_num))


def prepare(engine: Engine, place: Place, *, create: bool) -> None:
    """Make sure that the database has the current schema; create it in an empty one."""
    with reading(engine, place) as connection:
        version = read_version(connection)
        foreign = version is None and bool(inspect(connection).get_table_names())
    if version is None:
        _require_empty(place, foreign, create)
        _create(engine, place)
    else:
        require_current(place, version)


def _require_empty(place: Place, foreign: bool, create: bool) -> None:
    # On a server a database may be shared; a file of another program is left alone.
    if (foreign and place.is_sqlite) or not create:
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


def _create(engine: Engine, place: Place) -> None:
    if place.is_sqlite and place.path is not None:
        _use_wal(engine, place)
    with writing(engine, place) as connection:
        # Another process may have created it since we looked; the write lock is ours now.
        if read_version(connection) is None:
            tables.metadata.create_all(connection, checkfirst=True)
            tables.version.create(connection)
            connection.execute(tables.version.insert().values(version_num=REVISIONS[-1]))


def _use_wal(engine: Engine, place: Place) -> None:
    """Readers never wait for the writer. The mode stays in the file. Where a file system
    cannot do it, SQLite keeps its old mode, which is slower but right."""
    deadline = time.monotonic() + 5.0
    with translating(place), closing(engine.raw_connection()) as connection:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                # The busy timeout does not cover this switch.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def upgrade(url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> tuple[str, Path | None, bool]:
    """Bring a database to the current schema: its version, the backup, whether it changed.

    An SQLite file is first copied to `<name>.backup-<old version>` beside it. The migrations
    run in one transaction, so a failure leaves the database as it was. Raises `StoreError`.
    """
    place = locate(url)
    require_usable(place, create=False, readonly=False)
    engine = make_engine(place, create=False, readonly=False, busy_timeout_s=busy_timeout_s)
    try:
        with reading(engine, place) as connection:
            version = read_version(connection)
        if version is None:
            raise StoreError(f"{place.name} is not a rankwise database; give another one as --db")
        if version == REVISIONS[-1]:
            return version, None, False
        if version not in REVISIONS:
            require_current(place, version)
        # The lock first: nothing may be written between the copy and the migration.
        with writing(engine, place) as connection:
            backup = _back_up(place, version)
            migrate(connection)
        return REVISIONS[-1], backup, True
    finally:
        engine.dispose()


def migrate(connection: Connection) -> None:
    """Run the migrations that are missing, in the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _back_up(place: Place, version: str) -> Path | None:
    if place.path is None:
        return None
    target = _unused(place.path.with_name(f"{place.path.name}.backup-{version}"))
    _require_space(place.path)
    with (
        translating(place),
        closing(sqlite3.connect(place.path)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    return target


def _unused(path: Path) -> Path:
    candidates = (path.with_name(f"{path.name}-{n}") for n in range(2, 10_000))
    return path if not path.exists() else next(c for c in candidates if not c.exists())


def _require_space(path: Path) -> None:
    if shutil.disk_usage(path.parent).free < 2 * path.stat().st_size:
        raise StoreError(f"the disk that holds {path} is too full for its backup; free some space")
