"""What `rankwise db check` looks for: one sentence for each thing that is wrong."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, FromClause, func, inspect, or_, select

from .sessions import cut_off_ids
from .summaries import stale_ids
from .tables import failures, metadata, pruned, samples, sessions, summaries, verifications
from .tables import plans as plan_table


def check(connection: Connection) -> list[str]:
    """Return one sentence for each thing that is wrong."""
    sqlite = connection.dialect.name == "sqlite"
    damage = _sqlite(connection) if sqlite else _constraints(connection)
    if damage:
        return damage  # what a damaged file says of its contents means nothing
    counts = {
        "sessions hold no samples and no failure": _empty_sessions(connection),
        "sessions were cut off; the next `rankwise profile` ends them": len(
            cut_off_ids(connection)
        ),
        "sessions were summarised by another estimator": len(stale_ids(connection)),
        "summaries belong to sessions that are not ended": _early_summaries(connection),
        "summaries name another device or policy than their session": _strayed(connection),
        "verifications are of a plan that is not there": _verified_nothing(connection),
    }
    return [f"{count} {text}" for text, count in counts.items() if count]


def _sqlite(connection: Connection) -> list[str]:
    integrity = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
    damage = [f"the file is damaged: {text}" for text in integrity if text != "ok"]
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    tables = sorted({str(row[0]) for row in orphans})
    return damage + [f"rows of {table} refer to rows that do not exist" for table in tables]


def _constraints(connection: Connection) -> list[str]:
    """A server checks its own pages and references; somebody may have dropped the latter."""
    inspector = inspect(connection)
    missing = [
        f"table {name} has lost a foreign key"
        for name, table in metadata.tables.items()
        if len(inspector.get_foreign_keys(name)) < len(table.foreign_key_constraints)
    ]
    return sorted(missing)


def _count(connection: Connection, rows: FromClause, *conditions: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(rows).where(*conditions)) or 0


def _empty_sessions(connection: Connection) -> int:
    without = [
        ~select(1).where(table.c.session_id == sessions.c.id).exists()
        for table in (samples, failures, pruned)
    ]
    return _count(connection, sessions, sessions.c.ended_at.is_not(None), *without)


def _early_summaries(connection: Connection) -> int:
    still_open = select(sessions.c.id).where(sessions.c.ended_at.is_(None))
    return _count(connection, summaries, summaries.c.session_id.in_(still_open))


def _strayed(connection: Connection) -> int:
    of, its = summaries.c, sessions.c
    joined = summaries.join(sessions, of.session_id == its.id)
    other = or_(of.device_id != its.device_id, of.policy_id != its.policy_id)
    return _count(connection, joined, other)


def _verified_nothing(connection: Connection) -> int:
    known = select(plan_table.c.key)
    return _count(connection, verifications, ~verifications.c.plan_key.in_(known))
