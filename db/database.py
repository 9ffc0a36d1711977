"""An open database: transactions that read one snapshot, and transactions that write alone."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from ..errors import StoreError
from . import fence
from .error_messages import translating
from .url import DatabaseUrl, read_only

BUSY_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 60
"""PostgreSQL ends a transaction of ours that stands still for so long: a machine that fell
asleep must not keep all others waiting."""
BREATH_S = 0.05
"""Between the transactions of long work, so that waiting writers get their turn: SQLite has no
queue."""
LOOK_AGAIN_S = (0.001, 0.006)
WRITER_LOCK = 0x72616E6B
"""Of `pg_advisory_xact_lock`: who holds it is the one writer, as on SQLite."""


class Database:
    """An engine at a URL. Every transaction is `reading` or `writing`."""

    def __init__(
        self,
        url: DatabaseUrl,
        *,
        create: bool,
        readonly: bool,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self.url = url
        self._readonly = readonly
        self._busy_timeout_s = busy_timeout_s
        self._identity: tuple[int, int] | None = None
        if url.is_sqlite:
            self.engine = _sqlite(url, create, readonly, busy_timeout_s)
        else:
            self.engine = _server(url, busy_timeout_s)

    def dispose(self) -> None:
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a transaction that only reads: one consistent snapshot, which blocks no writer."""
        self._require_same_file()
        with translating(self.url), self.engine.connect() as connection:
            if not self.url.is_sqlite:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self, *, shared: bool = False, durable: bool = True) -> Iterator[Connection]:
        """Begin a transaction that writes: committed at its end, or rolled back as a whole.

        It holds the write lock from its first statement, so that it never fails half-way for
        a lock, and nobody can insert between its look and its insert. `shared`: it only adds
        rows of a session of its own, and needs no lock where the database needs none.
        `durable`: SQLite flushes the disk at the commit, so that it survives a power cut; any
        commit survives `kill -9`. Raises `Superseded` where this process does a job whose attempt
        is over.
        """
        self._require_writable()
        self._require_same_file()
        with translating(self.url), self.engine.connect() as connection:
            connection = connection.execution_options(
                rankwise_writes=True, rankwise_timeout_s=self._busy_timeout_s
            )
            if self.url.is_sqlite:
                _set_durable(connection, durable)
            with connection.begin():
                if not self.url.is_sqlite and not shared:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
                fence.check(connection, self.url.engine_url)
                yield connection
        self._remember_file()

    def _require_writable(self) -> None:
        if self._readonly and self.url.writable:
            raise StoreError(f"{self.url.name} was opened for reading only; open it for writing")
        if self._readonly:
            raise read_only(self.url)

    def compact(self) -> None:
        """Give the room of deleted rows back to the disk; other programs wait meanwhile."""
        self._require_same_file()
        path = self.url.path
        if path is not None and shutil.disk_usage(path.parent).free < 2 * path.stat().st_size:
            raise StoreError(f"the disk that holds {path} is too full to rewrite it")
        with translating(self.url), self.engine.connect() as connection:
            if self.url.is_sqlite:
                dbapi: Any = connection.connection.dbapi_connection
                dbapi.execute("VACUUM")
                dbapi.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            else:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql("VACUUM (FULL) samples")

    # An SQLite file that is deleted while it is open lives on, without a name, until it is
    # closed: what is committed to it then would vanish without a word.

    def _remember_file(self) -> None:
        if self._identity is None and self.url.path is not None:
            self._identity = _identity(self.url.path)

    def _require_same_file(self) -> None:
        path = self.url.path
        if path is None:
            return
        self._remember_file()
        if self._identity is not None and _identity(path) != self._identity:
            raise StoreError(
                f"{path} was deleted or replaced while it was open; {self._rescue(path)}"
            )

    def _rescue(self, path: Path) -> str:
        """Save the nameless file's content beside where it was; says how that went."""
        target = unused(path.with_name(f"{path.name}.rescued"))
        try:
            with closing(self.engine.raw_connection()) as source:
                connection: Any = source.dbapi_connection
                with closing(sqlite3.connect(target)) as copy:
                    connection.backup(copy)
        except (sqlite3.Error, SQLAlchemyError, OSError):
            target.unlink(missing_ok=True)
            return "restore it and repeat the command"
        return f"all that was committed is saved in {target}: move it back and repeat the command"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def unused(path: Path) -> Path:
    """Return the path, or if there is such a file the first free one of `path-2`, `path-3`..."""
    candidates = (path.with_name(f"{path.name}-{n}") for n in range(2, 10_000))
    return path if not path.exists() else next(c for c in candidates if not c.exists())


def _server(url: DatabaseUrl, busy_timeout_s: float) -> Engine:
    engine = create_engine(url.engine_url, hide_parameters=True, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def _limit(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {int(busy_timeout_s * 1000)}")
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_TIMEOUT_S}s'")
        connection.commit()

    return engine


def _sqlite(url: DatabaseUrl, create: bool, readonly: bool, busy_timeout_s: float) -> Engine:
    made = False

    def connect() -> sqlite3.Connection:
        nonlocal made
        # Only the first may create: a later one would put an empty file in a lost one's place.
        target = _sqlite_target(url, create=create and not made)
        made = True
        # isolation_level=None: transactions begin where we say, not where sqlite3 guesses.
        connection = sqlite3.connect(
            target,
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA foreign_keys=ON")
        if readonly:
            connection.execute("PRAGMA query_only=ON")
        return connection

    pool = StaticPool if url.path is None else QueuePool
    engine = create_engine(url.engine_url, creator=connect, poolclass=pool, hide_parameters=True)
    event.listen(engine, "begin", _begin)
    return engine


def _sqlite_target(url: DatabaseUrl, *, create: bool) -> str:
    if url.path is None:
        return ":memory:"
    uri = url.path.absolute().as_uri()
    if url.writable:
        return f"{uri}?mode={'rwc' if create else 'rw'}"
    # A read-only WAL database opens only without its shared-memory file, which is right as
    # long as no write-ahead log waits beside it.
    log = url.path.with_name(url.path.name + "-wal")
    waiting = log.exists() and log.stat().st_size > 0
    return f"{uri}?mode=ro" + ("" if waiting else "&immutable=1")


def _set_durable(connection: Connection, durable: bool) -> None:
    """Say how a commit is kept. NORMAL: in WAL mode the operating system has it, so it survives
    `kill -9`; a power cut may lose the last commits (never corrupt). FULL flushes the disk,
    which between timed rounds would disturb what is measured."""
    mode = "FULL" if durable else "NORMAL"
    dbapi: Any = connection.connection.dbapi_connection  # it must not begin a transaction
    dbapi.execute(f"PRAGMA synchronous={mode}")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("rankwise_writes", False):
        dbapi: Any = connection.connection.dbapi_connection
        _begin_writing(dbapi, options["rankwise_timeout_s"])
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_writing(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Take the write lock. SQLite's own waiting sleeps longer and longer, up to a tenth of a
    second, so that whoever came last is served first; among many writers some would wait for
    ten seconds and more. Here everybody looks equally often."""
    deadline = time.monotonic() + timeout_s
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(*LOOK_AGAIN_S))
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(timeout_s * 1000)}")


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
