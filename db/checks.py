"""What `rankwise db check` looks for: one sentence for each thing that is wrong."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from .sessions import open_ids, stale_ids
from .tables import failures, samples, sessions, summaries


def check(connection: Connection) -> list[str]:
    """Sentences; none when all is well."""
    found = _sqlite(connection) if connection.dialect.name == "sqlite" else []
    if found:
        return found  # what a damaged file says of its contents means nothing
    counts = {
        "sessions hold no samples and no failure": _empty_sessions(connection),
        "sessions were cut off; the next `rankwise profile` ends them": len(open_ids(connection)),
        "sessions were summarised by another estimator": len(stale_ids(connection)),
        "summaries belong to sessions that are not ended": _early_summaries(connection),
    }
    return [f"{count} {text}" for text, count in counts.items() if count]


def _sqlite(connection: Connection) -> list[str]:
    integrity = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
    found = [f"the file is damaged: {text}" for text in integrity if text != "ok"]
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    tables = sorted({str(row[0]) for row in orphans})
    return found + [f"rows of {table} refer to rows that do not exist" for table in tables]


def _empty_sessions(connection: Connection) -> int:
    used = select(samples.c.session_id).union(
        select(failures.c.session_id).where(failures.c.session_id.is_not(None))
    )
    query = select(func.count()).select_from(sessions)
    return (
        connection.scalar(query.where(sessions.c.ended_at.is_not(None), sessions.c.id.not_in(used)))
        or 0
    )


def _early_summaries(connection: Connection) -> int:
    still_open = select(sessions.c.id).where(sessions.c.ended_at.is_(None))
    query = select(func.count()).select_from(summaries)
    return connection.scalar(query.where(summaries.c.session_id.in_(still_open))) or 0
