"""What `rankwise db check` looks for: one sentence for each thing that is wrong."""

from __future__ import annotations

from sqlalchemy import Connection, func, inspect, or_, select

from .curves import Cache, named_files
from .sessions import open_ids, stale_ids
from .tables import failures, metadata, pruned, samples, sessions, summaries, verifications
from .tables import plans as plan_table


def check(connection: Connection, cache: Cache) -> list[str]:
    """Sentences; none when all is well."""
    sqlite = connection.dialect.name == "sqlite"
    found = _sqlite(connection) if sqlite else _constraints(connection)
    if found:
        return found  # what a damaged file says of its contents means nothing
    counts = {
        "sessions hold no samples and no failure": _empty_sessions(connection),
        "sessions were cut off; the next `rankwise profile` ends them": len(open_ids(connection)),
        "sessions were summarised by another estimator": len(stale_ids(connection)),
        "summaries belong to sessions that are not ended": _early_summaries(connection),
        "summaries name another device or policy than their session": _strayed(connection),
        "verifications are of a plan that is not there": _verified_nothing(connection),
        **_cache(connection, cache),
    }
    return [f"{count} {text}" for text, count in counts.items() if count]


def _sqlite(connection: Connection) -> list[str]:
    integrity = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
    found = [f"the file is damaged: {text}" for text in integrity if text != "ok"]
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    tables = sorted({str(row[0]) for row in orphans})
    return found + [f"rows of {table} refer to rows that do not exist" for table in tables]


def _constraints(connection: Connection) -> list[str]:
    """A server checks its own pages and references; somebody may have dropped the latter."""
    inspector = inspect(connection)
    missing = [
        f"table {name} has lost a foreign key"
        for name, table in metadata.tables.items()
        if len(inspector.get_foreign_keys(name)) < len(table.foreign_key_constraints)
    ]
    return sorted(missing)


def _empty_sessions(connection: Connection) -> int:
    ended = select(func.count()).select_from(sessions).where(sessions.c.ended_at.is_not(None))
    for table in (samples, failures, pruned):
        ended = ended.where(~select(1).where(table.c.session_id == sessions.c.id).exists())
    return connection.scalar(ended) or 0


def _early_summaries(connection: Connection) -> int:
    still_open = select(sessions.c.id).where(sessions.c.ended_at.is_(None))
    query = select(func.count()).select_from(summaries)
    return connection.scalar(query.where(summaries.c.session_id.in_(still_open))) or 0


def _strayed(connection: Connection) -> int:
    of, its = summaries.c, sessions.c
    joined = summaries.join(sessions, of.session_id == its.id)
    query = select(func.count()).select_from(joined)
    other = or_(of.device_id != its.device_id, of.policy_id != its.policy_id)
    return connection.scalar(query.where(other)) or 0


def _verified_nothing(connection: Connection) -> int:
    query = select(func.count()).select_from(verifications)
    return (
        connection.scalar(query.where(~verifications.c.plan_key.in_(select(plan_table.c.key)))) or 0
    )


def _cache(connection: Connection, cache: Cache) -> dict[str, int]:
    if not cache.folder.is_dir():
        return {}  # it may be deleted, or lie on another machine: nothing is lost
    wanted, there = named_files(connection), set(cache.names())
    damaged = sum(cache.get(sha256) is None for sha256 in wanted & there)
    return {
        "files of the cache are damaged; `rankwise db prune` removes them": damaged,
        "files of the cache belong to nothing; `rankwise db prune` removes them": len(
            there - wanted
        ),
    }
