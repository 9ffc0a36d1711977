"""Where a database is, how it is opened, and one sentence for whatever goes wrong."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from ..errors import StoreError

BUSY_TIMEOUT_S = 30.0
_WRITE_BITS = 0o222


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is. `path` is the SQLite file (None: in memory, or on a server);
    `name` is what messages call it, without a password."""

    url: URL
    path: Path | None
    name: str

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def writable(self) -> bool:
        """Whether the file (or, for a new one, its folder) may be written. Write bits that
        nobody has are respected even where the user is root."""
        if self.path is None:
            return True
        folder = self.path.parent
        # WAL needs its two files beside the database.
        return _may_write(folder) and (not self.path.exists() or _may_write(self.path))


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK) and bool(path.stat().st_mode & _WRITE_BITS)


def locate(text: str) -> Place:
    """Read `--db`: a URL, or a plain path, which is taken as an SQLite file."""
    if "://" not in text:
        return _sqlite_file(text)
    shown = f"{text.split('://')[0]}://..."  # what follows may hold a password
    try:
        url = make_url(text)
        backend = url.get_backend_name()
        url.get_dialect().import_dbapi()
    except (ArgumentError, ValueError, NoSuchModuleError):
        raise StoreError(
            f"{shown!r} is not a database URL; write a file's path, sqlite:///FILE or "
            "postgresql://USER@HOST/NAME"
        ) from None
    except ModuleNotFoundError as error:
        raise StoreError(f"{shown!r} needs the Python package {error.name}; install it") from None
    if backend == "sqlite":
        return _sqlite_file(url.database or ":memory:")
    return Place(url, None, url.render_as_string(hide_password=True))


def _sqlite_file(text: str) -> Place:
    if not text:
        raise StoreError("the database's name is empty; write a file's path or a URL")
    if text == ":memory:":
        return Place(URL.create("sqlite"), None, "the database in memory")
    path = Path(text).expanduser()
    return Place(URL.create("sqlite", database=str(path)), path, str(path))


def require_usable(place: Place, *, create: bool, readonly: bool) -> None:
    """Refuse early, with a sentence, what SQLite would refuse later with a riddle."""
    path = place.path
    if path is None:
        return
    if path.is_dir():
        raise StoreError(
            f"{path} is a folder; name a database file in it, as {path / 'rankwise.db'}"
        )
    if not path.parent.is_dir():
        raise StoreError(f"there is no folder {path.parent} for the database; create it first")
    if not path.exists() and (readonly or not create):
        raise StoreError(
            f"there is no database at {path}; `rankwise profile` makes one, or give --db"
        )
    if path.exists():
        _require_database(path)
    if not readonly and not place.writable:
        raise read_only(place)


def _require_database(path: Path) -> None:
    """Looks at the header through SQLite: if this process has the database open already,
    opening and closing the file by itself would drop the locks of those connections, and the
    next process to close the database would delete the log under them."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path} cannot be read ({error}); check its permissions") from None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:  # what else is wrong, opening says
            raise StoreError(
                f"{path} is not an SQLite database; give another file as --db"
            ) from None


def read_only(place: Place) -> StoreError:
    return StoreError(
        f"{place.name} is read-only (the file or its folder); make both writable or give another "
        "--db"
    )


def make_engine(place: Place, *, create: bool, readonly: bool, busy_timeout_s: float) -> Engine:
    """An engine whose transactions read one snapshot, or, inside `writing`, hold the write
    lock from their first statement (so that no transaction fails half-way for a lock)."""
    if not place.is_sqlite:
        return create_engine(place.url, hide_parameters=True)
    target = _sqlite_target(place, create=create)

    def connect() -> sqlite3.Connection:
        # isolation_level=None: transactions begin where we say, not where sqlite3 guesses.
        connection = sqlite3.connect(
            target,
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        _set_pragmas(connection, readonly)
        return connection

    pool = StaticPool if place.path is None else QueuePool
    engine = create_engine(place.url, creator=connect, poolclass=pool, hide_parameters=True)
    event.listen(engine, "begin", _begin)
    return engine


def _sqlite_target(place: Place, *, create: bool) -> str:
    if place.path is None:
        return ":memory:"
    uri = place.path.absolute().as_uri()
    if place.writable:
        return f"{uri}?mode={'rwc' if create else 'rw'}"
    # A read-only WAL database opens only without its shared-memory file, which is right as
    # long as no write-ahead log waits beside it.
    log = place.path.with_name(place.path.name + "-wal")
    waiting = log.exists() and log.stat().st_size > 0
    return f"{uri}?mode=ro" + ("" if waiting else "&immutable=1")


def _set_pragmas(connection: sqlite3.Connection, readonly: bool) -> None:
    """NORMAL: in WAL mode a commit is handed to the operating system, so it survives
    `kill -9`; only a power cut may lose the last rounds (never corrupt), and a resumed
    profile measures those again. FULL would put a disk flush between timed rounds."""
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=NORMAL")
    if readonly:
        connection.execute("PRAGMA query_only=ON")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("rankwise_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine, place: Place) -> Iterator[Connection]:
    """A transaction that only reads: one consistent snapshot, which blocks no writer."""
    with translating(place), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine, place: Place) -> Iterator[Connection]:
    """A transaction that writes: committed at its end, or rolled back as a whole."""
    with translating(place), engine.connect() as connection:
        connection = connection.execution_options(rankwise_writes=True)
        with connection.begin():
            yield connection


@contextmanager
def translating(place: Place) -> Iterator[None]:
    """Turn a database's error into a `StoreError` of one sentence."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _sentence(place, error) from error


def _sentence(place: Place, error: Exception) -> StoreError:
    cause: Any = getattr(error, "orig", None) or error
    text = str(cause).strip().split("\n")[0]
    lowered = text.lower()
    if "readonly database" in lowered or "read-only" in lowered:
        return read_only(place)
    for symptom, advice in _ADVICE.items():
        if symptom in lowered:
            return StoreError(advice.format(name=place.name))
    return StoreError(f"{place.name} failed ({text}); `rankwise db check` may say more")


_DAMAGED = "{name} is damaged; restore a backup or save what sqlite3's .recover can read"
_ADVICE = {
    "database is locked": "{name} is locked by another program; wait until it is done, then repeat",
    "disk is full": (
        "the disk that holds {name} is full; free some space and repeat the command "
        "(what was committed is kept)"
    ),
    "malformed": _DAMAGED,
    "not a database": _DAMAGED,
    "unable to open": "{name} cannot be opened; check the permissions of the file and its folder",
    "disk i/o error": "{name} cannot be read or written (disk I/O error); check the disk",
}
