"""The time by the database's clock: the only one that two machines may compare."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from ..clock import as_text

_NOW = {
    "sqlite": "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    "postgresql": (
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
    ),
}
"""UTC in ISO 8601 to the millisecond, as all times in the store."""


def now(connection: Connection) -> str:
    """The time as text, which sorts as the times do."""
    return str(connection.scalar(text(_NOW[connection.dialect.name])))


def ago(connection: Connection, age: timedelta) -> str:
    """The time that was so long ago."""
    return as_text(datetime.fromisoformat(now(connection)) - age)
