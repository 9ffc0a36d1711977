"""An archive's content merged into a store.

First everything is read, checked and compared with the store, and nothing written; then it is
added, some sessions a transaction, so that who measures meanwhile does not wait long. A session
is added as a whole. When an import is cut off, importing again adds the rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from ..records import content_key
from . import archive_schema, import_documents, import_sessions, tables
from .archive import Reader
from .archive_schema import SESSION_COLUMNS, SessionLine, read
from .database import BREATH_S, Database
from .import_sessions import Ids
from .workloads import chunks, device_row, ids_of, intern

SAMPLES_AT_ONCE = 100_000
SESSIONS_AT_ONCE = 500

_VALUES: Mapping[str, type[archive_schema.KeyedLine]] = {
    "specs": archive_schema.SpecLine,
    "devices": archive_schema.DeviceLine,
    "policies": archive_schema.PolicyLine,
}


@dataclass(slots=True)
class Merged:
    """What an import added, and what was known already."""

    sessions: int = 0
    samples: int = 0
    known_sessions: int = 0
    devices: int = 0
    others: int = 0
    """Networks, failures and documents."""


@dataclass(slots=True)
class Checked:
    """An archive's values by key, once it was found good; and which of its sessions the store
    has (`known`) or has with fewer samples (`grown`)."""

    specs: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=dict)
    workloads: dict[str, archive_schema.WorkloadLine] = field(default_factory=dict)
    uuids: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    grown: set[str] = field(default_factory=set)


def merge(reader: Reader, database: Database) -> Merged:
    """Add what the store does not have. Raises `StoreError`, with nothing written, where the
    archive contradicts itself or what the store holds."""
    with database.reading() as connection:
        checked = _check(reader, connection)
    merged = Merged(known_sessions=len(checked.known))
    with database.writing() as connection:
        ids = _intern_all(connection, checked, merged)
    lines = read(reader, "sessions", SessionLine)
    new = (line for line in lines if line.uuid not in checked.known - checked.grown)
    for group in _groups(new):
        with database.writing() as connection:
            add_sessions(connection, reader, group, ids, merged)
        time.sleep(BREATH_S)
    with database.writing() as connection:
        merged.others = import_documents.add(connection, reader, ids)
    return merged


def _groups(lines: Iterable[SessionLine]) -> Iterator[list[SessionLine]]:
    group: list[SessionLine] = []
    samples = 0
    for session in lines:
        group.append(session)
        samples += session.samples
        if len(group) >= SESSIONS_AT_ONCE or samples >= SAMPLES_AT_ONCE:
            yield group
            group, samples = [], 0
    if group:
        yield group


# Checking


def _check(reader: Reader, connection: Connection) -> Checked:
    checked = Checked()
    for name, kind in _VALUES.items():
        values = {line.key: line.content for line in read(reader, name, kind)}
        getattr(checked, name).update(values)
        _compare_values(reader, connection, name, values)
    for workload in read(reader, "workloads", archive_schema.WorkloadLine):
        _check_workload(reader, checked, workload)
        checked.workloads[workload.key] = workload
    _compare_workloads(reader, connection, checked)
    for group in _groups(read(reader, "sessions", SessionLine)):
        for session in group:
            _check_session(reader, checked, session)
        import_sessions.compare_sessions(reader, connection, group, checked.known, checked.grown)
    import_documents.check(reader, checked.specs, checked.workloads, checked.uuids)
    return checked


def _compare_values(
    reader: Reader, connection: Connection, name: str, values: Mapping[str, Any]
) -> None:
    """Refuse a key with other content, which would mix two devices (or layers, or policies)."""
    table = tables.metadata.tables[name]
    for keys in chunks(values):
        query = select(table.c.key, table.c.json).where(table.c.key.in_(keys))
        for key, content in connection.execute(query):
            if content != values[key]:
                raise reader.refused(f"{key} of its {name} means something else in this store")


def _check_workload(
    reader: Reader, checked: Checked, workload: archive_schema.WorkloadLine
) -> None:
    if workload.spec is None:
        return
    spec = checked.specs.get(workload.spec)
    if spec is None:
        raise reader.refused(f"workload {workload.key} is of a layer that it does not hold")
    if content_key([spec, workload.decomposition]) != workload.key:
        raise reader.refused(f"workload {workload.key} is not what its key says")


def _compare_workloads(reader: Reader, connection: Connection, checked: Checked) -> None:
    table = tables.workloads.c
    for keys in chunks(checked.workloads):
        query = select(table.key, table.kind).where(table.key.in_(keys))
        for key, kind in connection.execute(query):
            if kind != checked.workloads[key].kind:
                raise reader.refused(f"workload {key} means something else in this store")


def _check_session(reader: Reader, checked: Checked, session: SessionLine) -> None:
    if session.uuid in checked.uuids:
        raise reader.refused(f"session {session.uuid} is in it twice")
    checked.uuids.add(session.uuid)
    there = session.device in checked.devices and session.policy in checked.policies
    if not there or not session.workloads <= checked.workloads.keys():
        raise reader.refused(f"session {session.uuid} names what it does not hold")


# Adding


def _intern_all(connection: Connection, checked: Checked, merged: Merged) -> Ids:
    def values(table: Table, by_key: Mapping[str, Any]) -> dict[str, int]:
        return intern(connection, table, [{"key": k, "json": v} for k, v in by_key.items()])

    specs, policies = values(tables.specs, checked.specs), values(tables.policies, checked.policies)
    merged.devices = len(checked.devices) - len(ids_of(connection, tables.devices, checked.devices))
    rows = [device_row(key, content) for key, content in checked.devices.items()]
    devices = intern(connection, tables.devices, rows)
    rows = [
        {
            "spec_id": None if workload.spec is None else specs[workload.spec],
            **workload.model_dump(exclude={"spec"}),
        }
        for workload in checked.workloads.values()
    ]
    return Ids(specs, devices, policies, intern(connection, tables.workloads, rows))


def add_sessions(
    connection: Connection, reader: Reader, group: list[SessionLine], ids: Ids, merged: Merged
) -> None:
    """Add sessions as wholes, and the samples that are missing of those that have grown."""
    there = ids_of(connection, tables.sessions, [s.uuid for s in group], "uuid")
    new = [session for session in group if session.uuid not in there]
    if new:
        rows = [_session_row(session, ids) for session in new]
        connection.execute(insert(tables.sessions), rows)
        there |= ids_of(connection, tables.sessions, [s.uuid for s in new], "uuid")
        import_sessions.note_import(connection, reader, [there[s.uuid] for s in new])
    merged.sessions += len(new)
    fresh = {session.uuid for session in new}
    placed = [(there[session.uuid], session, session.uuid in fresh) for session in group]
    merged.samples += import_sessions.add_samples(connection, placed, ids)
    import_sessions.add_summaries(connection, placed, ids)


def _session_row(session: SessionLine, ids: Ids) -> dict[str, Any]:
    return {
        **{name: getattr(session, name) for name in SESSION_COLUMNS},
        "device_id": ids.devices[session.device],
        "policy_id": ids.policies[session.policy],
        "original_workload_id": ids.workloads[session.original],
    }
