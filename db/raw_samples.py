"""From a measurement's id back to the raw samples it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, exists, select

from ..records import Sample
from .measurement_values import EVERYTHING, Ids, known_values, rows_of
from .tables import failures, samples, sessions, summaries, workloads


def raw_samples(connection: Connection, wanted_id: str) -> list[tuple[str, tuple[Sample, ...]]]:
    """Return the samples behind a measurement's id, of the candidate and of the original that it
    was paired with: one entry (session's uuid, samples in the order of rounds) a session."""
    ids = _find(connection, wanted_id)
    if ids is None:
        return []
    return [
        (uuid, _pair_samples(connection, session_id, (ids[0], original_id)))
        for session_id, uuid, original_id in _sessions_with(connection, ids)
    ]


def _find(connection: Connection, wanted_id: str) -> Ids | None:
    known = known_values(connection, EVERYTHING)
    for table in (summaries.c, failures.c):
        query = select(table.workload_id, table.device_id, table.policy_id).distinct()
        for row in rows_of(connection, known, query):
            ids: Ids = (row[0], row[1], row[2])
            if known.id_of(ids) == wanted_id:
                return ids
    return None


def _sessions_with(connection: Connection, ids: Ids) -> list[Any]:
    table = sessions.c
    here = exists().where(samples.c.session_id == table.id, samples.c.workload_id == ids[0])
    query = select(table.id, table.uuid, table.original_workload_id).order_by(table.id)
    query = query.where(table.device_id == ids[1], table.policy_id == ids[2])
    return list(connection.execute(query.where(here)))


def _pair_samples(
    connection: Connection, session_id: int, workload_ids: Sequence[int]
) -> tuple[Sample, ...]:
    table = samples.c
    query = (
        select(table.round, workloads.c.key, table.clock, table.seconds, table.loops)
        .select_from(samples.join(workloads, table.workload_id == workloads.c.id))
        .where(table.session_id == session_id, table.workload_id.in_(workload_ids))
        .order_by(table.round, workloads.c.key, table.clock)
    )
    return tuple(Sample(*row) for row in connection.execute(query))
