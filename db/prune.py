"""Dropping raw samples that are old. Their summaries, and so every table, stay as they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from .curves import Cache, named_files
from .tables import pruned, samples, sessions
from .workloads import now

SESSIONS_AT_ONCE = 100
CACHE_GRACE_S = 3600.0
"""A file of the cache is written before the row that names it: young ones are left alone."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was dropped, or would be."""

    sessions: int
    samples: int
    cache_files: int


def old_sessions(connection: Connection, before: str) -> list[int]:
    """Sessions that ended before this time and still have their samples."""
    kept = select(1).where(samples.c.session_id == sessions.c.id).exists()
    query = select(sessions.c.id).where(sessions.c.ended_at < before, kept)
    return list(connection.scalars(query.order_by(sessions.c.id)))


def count(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Samples by session."""
    of = samples.c.session_id
    query = select(of, func.count()).where(of.in_(ids)).group_by(of)
    return dict(connection.execute(query).all())


def drop(connection: Connection, ids: Sequence[int]) -> int:
    """Delete the sessions' samples and note how many they were."""
    found = count(connection, ids)
    connection.execute(delete(samples).where(samples.c.session_id.in_(ids)))
    connection.execute(delete(pruned).where(pruned.c.session_id.in_(ids)))
    rows = [{"session_id": i, "samples": number, "at": now()} for i, number in found.items()]
    if rows:
        connection.execute(insert(pruned), rows)
    return sum(found.values())


def useless_files(connection: Connection, cache: Cache) -> list[str]:
    """Files of the cache that are damaged, or that no row names."""
    wanted, young = named_files(connection), time.time() - CACHE_GRACE_S
    return [
        sha256
        for sha256 in cache.names()
        if (sha256 not in wanted and cache.path(sha256).stat().st_mtime < young)
        or (sha256 in wanted and cache.get(sha256) is None)
    ]
