"""The parts of an import: what a session and a document of the archive are in this store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from . import tables
from .archive import Reader
from .archive_schema import SessionLine
from .tables import imports, samples, session_imports, sessions, summaries
from .workloads import chunks, now

Timed = dict[tuple[str, str, int], tuple[float, int]]
"""(seconds, loops) by workload's key, clock and round."""
_SAME = ("started_at", "host", "boot", "pid", "process_started")


@dataclass(frozen=True, slots=True)
class Ids:
    """This store's ids by content key."""

    specs: Mapping[str, int]
    devices: Mapping[str, int]
    policies: Mapping[str, int]
    workloads: Mapping[str, int]


def session_ids(connection: Connection, uuids: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in chunks(uuids):
        query = select(sessions.c.uuid, sessions.c.id).where(sessions.c.uuid.in_(chunk))
        found.update((uuid, session_id) for uuid, session_id in connection.execute(query))
    return found


def compare_sessions(
    reader: Reader,
    connection: Connection,
    group: Sequence[SessionLine],
    known: set[str],
    grown: set[str],
) -> None:
    """Sort those that the store has into `known`, and those it has with fewer samples into
    `grown`. Raises `StoreError` where it has something else under the same name."""
    there = session_ids(connection, (session.uuid for session in group))
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
        if any(theirs[place] != ours[place] for place in theirs.keys() & ours.keys()):
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
    found: dict[int, Timed] = {}
    for session_id, key, clock, r, s, n in connection.execute(query):
        found.setdefault(session_id, {})[key, clock, r] = (s, n)
    return found


def _samples_of(session: SessionLine) -> Timed:
    return {
        (series.workload, series.clock, r): (s, n)
        for series in session.series
        for r, s, n in zip(series.rounds, series.seconds, series.loops, strict=True)
    }


def note_import(connection: Connection, reader: Reader, found: Sequence[int]) -> None:
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
    rows = [{"session_id": session_id, "import_id": import_id} for session_id in found]
    connection.execute(insert(session_imports), rows)


def add_samples(
    connection: Connection, found: Sequence[tuple[int, SessionLine, bool]], ids: Ids
) -> int:
    """Of each (session's id, session, whether it is new), the samples that are not there."""
    rows: list[tuple[Any, ...]] = []
    for session_id, session, fresh in found:
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
    """Ten million of them: past the layers that make a dictionary of each."""
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
    connection: Connection, found: Sequence[tuple[int, SessionLine, bool]], ids: Ids
) -> None:
    """Those of the archive; and where raw samples were dropped, that they were."""
    rows, dropped = [], []
    for session_id, session, fresh in found:
        if not fresh:
            connection.execute(delete(summaries).where(summaries.c.session_id == session_id))
            was_open = sessions.c.id == session_id, sessions.c.ended_at.is_(None)
            ended = update(sessions).where(*was_open).values(ended_at=session.ended_at)
            connection.execute(ended)
        if fresh and session.pruned is not None:
            dropped.append({"session_id": session_id, **session.pruned.model_dump()})
        place = {
            "session_id": session_id,
            "device_id": ids.devices[session.device],
            "policy_id": ids.policies[session.policy],
        }
        for summary in session.summaries:
            numbers = summary.model_dump(exclude={"workload"})
            rows.append({**place, "workload_id": ids.workloads[summary.workload], **numbers})
    for table, values in ((summaries, rows), (tables.pruned, dropped)):
        if values:
            connection.execute(insert(table), values)
