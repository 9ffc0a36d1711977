"""Dropping raw samples that are old. Their summaries, and so every table, stay as they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from ..clock import now
from .database import BREATH_S, Database
from .tables import pruned, samples, sessions
from .workloads import chunks, insert_all

SESSIONS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was dropped, or would be."""

    sessions: int
    samples: int


def prune(database: Database, before: str, *, dry_run: bool, compact: bool) -> Pruned:
    """Drop the raw samples of sessions that ended before a time, some sessions at a time."""
    with database.reading() as connection:
        old = _old_sessions(connection, before)
        if dry_run:
            counts = [_count(connection, ids) for ids in chunks(old)]
            return Pruned(len(old), sum(sum(count.values()) for count in counts))
    dropped = 0
    for ids in chunks(old, SESSIONS_AT_ONCE):
        with database.writing() as connection:
            dropped += _drop(connection, ids)
        time.sleep(BREATH_S)
    if compact:
        database.compact()
    return Pruned(len(old), dropped)


def _old_sessions(connection: Connection, before: str) -> list[int]:
    """Return the sessions that ended before this time and still have their samples."""
    kept = select(1).where(samples.c.session_id == sessions.c.id).exists()
    query = select(sessions.c.id).where(sessions.c.ended_at < before, kept)
    return list(connection.scalars(query.order_by(sessions.c.id)))


def _count(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Return the number of samples by session."""
    of = samples.c.session_id
    query = select(of, func.count()).where(of.in_(ids)).group_by(of)
    return dict(connection.execute(query).all())


def _drop(connection: Connection, ids: Sequence[int]) -> int:
    """Delete the sessions' samples, note and return how many they were."""
    counts = _count(connection, ids)
    connection.execute(delete(samples).where(samples.c.session_id.in_(ids)))
    connection.execute(delete(pruned).where(pruned.c.session_id.in_(ids)))
    rows = [{"session_id": i, "samples": number, "at": now()} for i, number in counts.items()]
    insert_all(connection, pruned, rows)
    return sum(counts.values())
