"""One sentence for whatever a database says when it fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ..errors import StoreError, StoreUnreachable, first_line
from .url import DatabaseUrl, read_only


@contextmanager
def translating(url: DatabaseUrl) -> Iterator[None]:
    """Turn a database's error into a `StoreError` of one sentence."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _sentence(url, error) from error


def _sentence(url: DatabaseUrl, error: Exception) -> StoreError:
    cause: Any = getattr(error, "orig", None) or error
    text = first_line(cause)
    lowered = text.lower()
    if url.is_sqlite and ("readonly database" in lowered or "read-only" in lowered):
        return read_only(url)
    for kind, sentences in ((StoreUnreachable, _UNREACHABLE), (StoreError, _ADVICE)):
        for symptoms, advice in sentences.items():
            if any(symptom in lowered for symptom in symptoms):
                return kind(advice.format(name=url.name))
    return StoreError(f"{url.name} failed ({text}); `rankwise db check` may say more")


_ADVICE = {
    ("database is locked", "lock timeout", "deadlock"): (
        "{name} is locked by another program; wait until it is done, then repeat"
    ),
    ("disk is full", "no space left"): (
        "the disk that holds {name} is full; free some space and repeat the command "
        "(what was committed is kept)"
    ),
    ("malformed", "not a database"): (
        "{name} is damaged; restore a backup or save what sqlite3's .recover can read"
    ),
    ("unable to open",): (
        "{name} cannot be opened; check the permissions of the file and its folder"
    ),
    ("disk i/o error",): "{name} cannot be read or written (disk I/O error); check the disk",
    ("read-only transaction", "recovery is in progress"): (
        "{name} takes no writes (a standby, or read-only by its settings); name the primary as --db"
    ),
    ("permission denied",): (
        "{name} does not let this user do that; ask for the right to create and change tables"
    ),
    ("authentication failed", "no password supplied", "no pg_hba.conf entry", 'role "'): (
        "{name} refused the user or password; check the URL, or set PGPASSWORD"
    ),
    ("too many clients", "connection slots"): (
        "{name} has no free connection; raise max_connections or run fewer programs"
    ),
    ('database "',): "{name} has no such database; create it first, as with createdb",
}
_UNREACHABLE = {
    (
        *("connection refused", "could not translate", "failed to resolve", "timeout expired"),
        *("is the server running", "no such file or directory", "no route to host"),
    ): "{name} does not answer; check host and port, and that the server runs",
    ("starting up", "shutting down", "not yet accepting", "in recovery mode"): (
        "{name} is starting or stopping; repeat the command in a moment"
    ),
    (
        *("server closed", "terminating connection", "connection is lost", "connection is closed"),
        *("connection reset", "broken pipe", "could not receive data"),
    ): "the connection to {name} was lost; repeat the command (what was committed is kept)",
}
