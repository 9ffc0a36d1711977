"""An archive's content merged into a store.

First everything is read, checked and compared with the store, and nothing written; then it is
added, some sessions a transaction, so that who measures meanwhile does not wait long. A session
is added as a whole. When an import is cut off, importing again adds the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from ..records import DeviceFingerprint, content_key
from . import archive_schema, import_documents, import_sessions, tables
from .archive import Reader
from .archive_schema import SessionLine, read
from .curves import Cache
from .database import BREATH_S
from .import_sessions import Ids
from .workloads import chunks, intern

Transaction = Callable[[], AbstractContextManager[Connection]]
SAMPLES_AT_ONCE = 100_000
SESSIONS_AT_ONCE = 500

_VALUES: Mapping[str, type[archive_schema._Keyed]] = {
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
    """Of the archive, once it was found good: its values by key, and which of its sessions the
    store has (`known`) or has with fewer samples (`grown`)."""

    specs: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=dict)
    workloads: dict[str, archive_schema.WorkloadLine] = field(default_factory=dict)
    uuids: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    grown: set[str] = field(default_factory=set)


def merge(reader: Reader, cache: Cache, reading: Transaction, writing: Transaction) -> Merged:
    """Raises `StoreError`, with nothing written, where the archive contradicts itself or what
    the store holds."""
    with reading() as connection:
        checked = _check(reader, connection)
    merged = Merged(known_sessions=len(checked.known))
    with writing() as connection:
        ids = _intern_all(connection, checked, merged)
    new = (s for s in _sessions(reader) if s.uuid not in checked.known - checked.grown)
    for group in _groups(new):
        with writing() as connection:
            _add(connection, reader, group, ids, merged)
        time.sleep(BREATH_S)
    with writing() as connection:
        merged.others = import_documents.add(connection, reader, ids, cache)
    return merged


def _sessions(reader: Reader) -> Iterator[SessionLine]:
    return read(reader, "sessions", SessionLine)


def _groups(found: Iterable[SessionLine]) -> Iterator[list[SessionLine]]:
    group: list[SessionLine] = []
    samples = 0
    for session in found:
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
    for group in _groups(_sessions(reader)):
        for session in group:
            _check_session(reader, checked, session)
        import_sessions.compare_sessions(reader, connection, group, checked.known, checked.grown)
    import_documents.check(reader, checked.specs, checked.workloads, checked.uuids)
    return checked


def _compare_values(
    reader: Reader, connection: Connection, name: str, values: Mapping[str, Any]
) -> None:
    """The same key with other content would mix two devices (or layers, or policies)."""
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
    def values(table: Table, found: Mapping[str, Any]) -> dict[str, int]:
        return intern(connection, table, [{"key": k, "json": v} for k, v in found.items()])

    before = len(connection.execute(select(tables.devices.c.id)).all())
    specs = values(tables.specs, checked.specs)
    devices = intern(connection, tables.devices, [*map(_device_row, checked.devices.items())])
    merged.devices = len(connection.execute(select(tables.devices.c.id)).all()) - before
    rows = [
        {
            "key": workload.key,
            "kind": workload.kind,
            "spec_id": None if workload.spec is None else specs[workload.spec],
            "decomposition": workload.decomposition,
            "description": workload.description,
        }
        for workload in checked.workloads.values()
    ]
    policies = values(tables.policies, checked.policies)
    return Ids(specs, devices, policies, intern(connection, tables.workloads, rows))


def _device_row(item: tuple[str, Any]) -> dict[str, Any]:
    key, content = item
    fingerprint = DeviceFingerprint.from_json(content)
    return {
        "key": key,
        "backend": fingerprint.backend,
        "hardware_key": fingerprint.hardware_key,
        "software_key": fingerprint.software_key,
        "json": content,
    }


def _add(
    connection: Connection, reader: Reader, group: list[SessionLine], ids: Ids, merged: Merged
) -> None:
    there = import_sessions.session_ids(connection, [s.uuid for s in group])
    new = [session for session in group if session.uuid not in there]
    if new:
        rows = [_session_row(session, ids) for session in new]
        connection.execute(insert(tables.sessions), rows)
        there |= import_sessions.session_ids(connection, [s.uuid for s in new])
        import_sessions.note_import(connection, reader, [there[s.uuid] for s in new])
    merged.sessions += len(new)
    fresh = {session.uuid for session in new}
    found = [(there[session.uuid], session, session.uuid in fresh) for session in group]
    merged.samples += import_sessions.add_samples(connection, found, ids)
    import_sessions.add_summaries(connection, found, ids)


def _session_row(session: SessionLine, ids: Ids) -> dict[str, Any]:
    same = ("uuid", "started_at", "ended_at", "host", "boot", "pid", "process_started")
    return {
        **{name: getattr(session, name) for name in same},
        "circumstances": session.circumstances,
        "device_id": ids.devices[session.device],
        "policy_id": ids.policies[session.policy],
        "original_workload_id": ids.workloads[session.original],
    }
