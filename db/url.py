"""Where a database is, and early refusals of what cannot be used."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from ..errors import StoreError
from ..records import content_key

POSTGRES_DRIVER = "postgresql+psycopg"
_WRITE_BITS = 0o222


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where a database is. `path` is the SQLite file (None: in memory, or on a server);
    `name` is what messages call it, without a password."""

    engine_url: URL
    path: Path | None
    name: str

    @property
    def is_sqlite(self) -> bool:
        return self.engine_url.get_backend_name() == "sqlite"

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


def locate(text: str) -> DatabaseUrl:
    """Read `--db`: a URL, or a plain path, which is taken as an SQLite file."""
    if "://" not in text:
        return _sqlite_file(text)
    shown = f"{text.split('://')[0]}://..."  # what follows may hold a password
    try:
        url = make_url(text)
        if url.drivername == "postgresql":
            url = url.set(drivername=POSTGRES_DRIVER)
        backend = url.get_backend_name()
        url.get_dialect().import_dbapi()
    except (ArgumentError, ValueError, NoSuchModuleError):
        raise StoreError(
            f"{shown!r} is not a database URL; write a file's path, sqlite:///FILE or "
            "postgresql://USER@HOST/NAME"
        ) from None
    except ModuleNotFoundError as error:
        wanted = "'rankwise[postgres]'" if error.name == "psycopg" else error.name
        raise StoreError(
            f"{shown!r} needs the Python package {error.name}: pip install {wanted}"
        ) from None
    if backend == "sqlite":
        return _sqlite_file(url.database or ":memory:")
    shown = url.set(drivername=backend, query={}).render_as_string(hide_password=True)
    return DatabaseUrl(url, None, shown)


def _sqlite_file(text: str) -> DatabaseUrl:
    if not text:
        raise StoreError("the database's name is empty; write a file's path or a URL")
    if text == ":memory:":
        return DatabaseUrl(URL.create("sqlite"), None, "the database in memory")
    path = Path(text).expanduser()
    return DatabaseUrl(URL.create("sqlite", database=str(path)), path, str(path))


def require_usable(url: DatabaseUrl, *, create: bool, readonly: bool) -> None:
    """Refuse early, with a sentence, what SQLite would refuse later with a riddle."""
    path = url.path
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
    if not readonly and not url.writable:
        raise read_only(url)


def _require_database(path: Path) -> None:
    """Look at the header through SQLite: if this process has the database open already,
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


def read_only(url: DatabaseUrl) -> StoreError:
    """Return the error that says that a database cannot be written."""
    return StoreError(
        f"{url.name} is read-only (the file or its folder); make both writable or give another --db"
    )


def companion(db: str, suffix: str) -> Path:
    """A file or folder that belongs to the database and lies beside it, as `.cache`; in the
    working directory where the database is no file, with a name of its own for each server's."""
    url = locate(db)
    if url.path is not None:
        return url.path.with_suffix(suffix)
    if url.is_sqlite:
        return Path("rankwise").with_suffix(suffix)
    shown = url.engine_url.set(password=None).render_as_string()
    return Path(f"rankwise-{content_key(shown)[:8]}").with_suffix(suffix)
