"""Rows that stand for values: each value is stored once, under its content key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, select

from ..records import Candidate, DeviceFingerprint, LayerSpec, MeasurementPolicy
from . import tables

# SQLite allows 999 bound values in its oldest builds.
CHUNK = 900
KEY_DIGITS = 32


@dataclass(frozen=True, slots=True)
class NetworkRun:
    """A whole network as a workload. `key` identifies it; `description` says in JSON what
    it is (the network's hash, the plan's key, the input's shape)."""

    key: str
    description: Mapping[str, Any] = field(compare=False)

    def __post_init__(self) -> None:
        if len(self.key) > KEY_DIGITS:  # SQLite would take it, PostgreSQL would not
            raise ValueError(f"a workload's key has at most {KEY_DIGITS} digits: {self.key}")


Stored = Candidate | NetworkRun


def plain(text: str) -> str:
    """Return a text that every database takes: what a crashed child wrote may hold anything."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def chunks(values: Iterable[Any], size: int = CHUNK) -> Iterator[list[Any]]:
    """Yield the values in lists of at most `size`."""
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk


def ids_of(
    connection: Connection, table: Table, keys: Iterable[str], column: str = "key"
) -> dict[str, int]:
    """Return the ids of those keys that are stored."""
    ids: dict[str, int] = {}
    for chunk in chunks(keys):
        query = select(table.c[column], table.c.id).where(table.c[column].in_(chunk))
        ids |= dict(connection.execute(query).all())
    return ids


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows, of which there may be none; return how many they are."""
    if rows:
        connection.execute(table.insert(), rows)
    return len(rows)


def of_workloads(
    table: Table,
    columns: Iterable[ColumnElement[Any]],
    fingerprint: DeviceFingerprint,
    policy: MeasurementPolicy,
    keys: Iterable[str],
) -> Iterator[Select[Any]]:
    """Queries for the workloads' keys and these columns of `summaries` or `failures`, on one
    device under one policy: some workloads a query, so that there may be any number."""
    workloads, devices, policies = tables.workloads, tables.devices, tables.policies
    joined = table.join(workloads, table.c.workload_id == workloads.c.id)
    joined = joined.join(devices, table.c.device_id == devices.c.id)
    joined = joined.join(policies, table.c.policy_id == policies.c.id)
    for chunk in chunks(set(keys)):
        yield (
            select(workloads.c.key, *columns)
            .select_from(joined)
            .where(workloads.c.key.in_(chunk))
            .where(devices.c.key == fingerprint.key, policies.c.key == policy.key)
        )


def intern(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """Return ids by key; rows that are new are inserted. This needs the write lock: nobody can
    then insert the same key between our look and our insert."""
    by_key = {row["key"]: row for row in rows}
    ids = ids_of(connection, table, by_key)
    missing = [row for key, row in by_key.items() if key not in ids]
    insert_all(connection, table, missing)
    return ids | ids_of(connection, table, (row["key"] for row in missing))


def intern_specs(connection: Connection, specs: Iterable[LayerSpec]) -> dict[LayerSpec, int]:
    """Return ids by spec; specs that are new are inserted."""
    keys = {spec: spec.key for spec in set(specs)}
    rows = [{"key": key, "json": spec.to_json()} for spec, key in keys.items()]
    ids = intern(connection, tables.specs, rows)
    return {spec: ids[key] for spec, key in keys.items()}


def intern_workloads(connection: Connection, workloads: Sequence[Stored]) -> dict[str, int]:
    """Return ids by workload key; workloads that are new are inserted."""
    spec_ids = intern_specs(connection, (w.spec for w in workloads if isinstance(w, Candidate)))
    rows = [_workload_row(workload, spec_ids) for workload in workloads]
    return intern(connection, tables.workloads, rows)


def _workload_row(workload: Stored, spec_ids: Mapping[LayerSpec, int]) -> dict[str, Any]:
    row = {"key": workload.key, "spec_id": None, "decomposition": None, "description": None}
    if isinstance(workload, Candidate):
        decomposition = workload.decomposition.to_json()
        return {
            **row,
            "kind": "candidate",
            "spec_id": spec_ids[workload.spec],
            "decomposition": decomposition,
        }
    return {**row, "kind": "network", "description": dict(workload.description)}


def intern_device(connection: Connection, fingerprint: DeviceFingerprint) -> int:
    """Return the id of a device, which is inserted if it is new."""
    row = device_row(fingerprint.key, fingerprint.to_json())
    return intern(connection, tables.devices, [row])[fingerprint.key]


def device_row(key: str, json: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a device that is written as JSON."""
    fingerprint = DeviceFingerprint.from_json(json)
    return {
        "key": key,
        "backend": fingerprint.backend,
        "hardware_key": fingerprint.hardware_key,
        "software_key": fingerprint.software_key,
        "json": json,
    }


def intern_policy(connection: Connection, policy: MeasurementPolicy) -> int:
    """Return the id of a policy, which is inserted if it is new."""
    row = {"key": policy.key, "json": policy.to_json()}
    return intern(connection, tables.policies, [row])[policy.key]
