"""Sessions of an archive: compared with the store's, and their samples and summaries added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ..clock import now
from . import tables
from .archive import Reader
from .archive_schema import SessionLine
from .tables import imports, samples, session_imports, sessions, summaries
from .workloads import ids_of, insert_all

Timed = dict[tuple[str, str, int], tuple[float, int]]
"""(seconds, loops) of samples by workload's key, clock and round."""
_SAME = ("started_at", "host", "boot", "pid", "process_started", "board")


@dataclass(frozen=True, slots=True)
class Ids:
    """This store's ids by content key."""

    specs: Mapping[str, int]
    devices: Mapping[str, int]
    policies: Mapping[str, int]
    workloads: Mapping[str, int]


def compare_sessions(
    reader: Reader,
    connection: Connection,
    group: Sequence[SessionLine],
    known: set[str],
    grown: set[str],
) -> None:
    """Sort those that the store has into `known`, and those it has with fewer samples into
    `grown`. Raises `StoreError` where it has something else under the same name."""
    there = ids_of(connection, sessions, (session.uuid for session in group), "uuid")
    known.update(there)
    ids = list(there.values())
    identities, dropped = _identities(connection, ids), _pruned(connection, ids)
    stored = _samples(connection, ids)
    for session in group:
        session_id = there.get(session.uuid)
        if session_id is None:
            continue
        if identities[session_id] != _said(session):
            raise reader.refused(
                f"session {session.uuid} was measured on another device or otherwise in this store"
            )
        if session_id in dropped:
            continue
        ours, theirs = stored.get(session_id, {}), _samples_of(session)
        if any(theirs[sample] != ours[sample] for sample in theirs.keys() & ours.keys()):
            raise reader.refused(f"session {session.uuid} has other samples in this store")
        if theirs.keys() - ours.keys():
            grown.add(session.uuid)


def _identities(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    of = sessions.c
    joined = sessions.join(tables.devices).join(tables.policies)
    joined = joined.join(tables.workloads, of.original_workload_id == tables.workloads.c.id)
    columns = (tables.devices.c.key, tables.policies.c.key, tables.workloads.c.key)
    query = select(of.id, *columns, *(of[name] for name in _SAME)).select_from(joined)
    rows = connection.execute(query.where(of.id.in_(ids)))
    return {row[0]: tuple(row[1:]) for row in rows}


def _said(session: SessionLine) -> tuple[Any, ...]:
    keys = (session.device, session.policy, session.original)
    return (*keys, *(getattr(session, name) for name in _SAME))


def _pruned(connection: Connection, ids: Sequence[int]) -> set[int]:
    table = tables.pruned.c.session_id
    return set(connection.scalars(select(table).where(table.in_(ids))))


def _samples(connection: Connection, ids: Sequence[int]) -> dict[int, Timed]:
    of = samples.c
    joined = samples.join(tables.workloads, of.workload_id == tables.workloads.c.id)
    query = select(of.session_id, tables.workloads.c.key, of.clock, of.round, of.seconds, of.loops)
    query = query.select_from(joined).where(of.session_id.in_(ids))
    timed: dict[int, Timed] = {}
    for session_id, key, clock, r, s, n in connection.execute(query):
        timed.setdefault(session_id, {})[key, clock, r] = (s, n)
    return timed


def _samples_of(session: SessionLine) -> Timed:
    return {
        (series.workload, series.clock, r): (s, n)
        for series in session.series
        for r, s, n in zip(series.rounds, series.seconds, series.loops, strict=True)
    }


def note_import(connection: Connection, reader: Reader, new: Sequence[int]) -> None:
    """Remember with which archive these sessions came."""
    query = select(imports.c.id).where(imports.c.sha256 == reader.sha256)
    import_id = connection.scalar(query)
    if import_id is None:
        row = {
            "sha256": reader.sha256,
            "imported_at": now(),
            "exported_at": str(reader.manifest["exported_at"])[:32],
            "host": str(reader.manifest["host"]),
            "rankwise_version": str(reader.manifest["rankwise_version"])[:32],
        }
        connection.execute(insert(imports), [row])
        import_id = connection.scalar(query)
    rows = [{"session_id": session_id, "import_id": import_id} for session_id in new]
    connection.execute(insert(session_imports), rows)


def add_samples(
    connection: Connection, placed: Sequence[tuple[int, SessionLine, bool]], ids: Ids
) -> int:
    """Add the samples that are not there of each (session's id, session, whether it is new);
    how many they are."""
    rows: list[tuple[Any, ...]] = []
    for session_id, session, fresh in placed:
        there = {} if fresh else _samples(connection, [session_id]).get(session_id, {})
        for series in session.series:
            workload_id = ids.workloads[series.workload]
            rows.extend(
                (session_id, workload_id, r, series.clock, s, n)
                for r, s, n in zip(series.rounds, series.seconds, series.loops, strict=True)
                if not there or (series.workload, series.clock, r) not in there
            )
    if rows:
        _insert_samples(connection, rows)
    return len(rows)


def _insert_samples(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows past the layers that make a dictionary of each: there may be ten million."""
    names = ("session_id", "workload_id", "round", "clock", "seconds", "loops")
    columns = ", ".join(names)
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy(f"COPY samples ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    holes = ", ".join("?" for _ in names)
    connection.exec_driver_sql(f"INSERT INTO samples ({columns}) VALUES ({holes})", rows)


def add_summaries(
    connection: Connection, placed: Sequence[tuple[int, SessionLine, bool]], ids: Ids
) -> None:
    """Take the archive's summaries; and note that raw samples were dropped where they were."""
    rows, dropped = [], []
    for session_id, session, fresh in placed:
        if not fresh:
            connection.execute(delete(summaries).where(summaries.c.session_id == session_id))
            was_open = sessions.c.id == session_id, sessions.c.ended_at.is_(None)
            ended = update(sessions).where(*was_open).values(ended_at=session.ended_at)
            connection.execute(ended)
        if fresh and session.pruned is not None:
            dropped.append({"session_id": session_id, **session.pruned.model_dump()})
        owner = {
            "session_id": session_id,
            "device_id": ids.devices[session.device],
            "policy_id": ids.policies[session.policy],
        }
        for summary in session.summaries:
            numbers = summary.model_dump(exclude={"workload"})
            rows.append({**owner, "workload_id": ids.workloads[summary.workload], **numbers})
    insert_all(connection, summaries, rows)
    insert_all(connection, tables.pruned, dropped)
