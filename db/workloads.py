"""Rows that stand for values: each value is stored once, under its content key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, select

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


def now(*, after: str | None = None) -> str:
    """UTC in ISO 8601, to the millisecond: sorts as text. Always later than `after`, even if
    the clock was set back since then."""
    time = datetime.now(UTC)
    if after is not None:
        time = max(time, datetime.fromisoformat(after) + timedelta(milliseconds=1))
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(text: str) -> str:
    """A text that every database takes: what a crashed child wrote may hold anything."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def chunks(values: Iterable[Any], size: int = CHUNK) -> Iterator[list[Any]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk


def ids_of(connection: Connection, table: Table, keys: Iterable[str]) -> dict[str, int]:
    """The ids of those keys that are stored."""
    found: dict[str, int] = {}
    for chunk in chunks(keys):
        query = select(table.c.key, table.c.id).where(table.c.key.in_(chunk))
        found.update((key, row_id) for key, row_id in connection.execute(query))
    return found


def intern(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """Ids by key; rows that are new are inserted. Needs the write lock: on SQLite nobody
    can insert the same key between our look and our insert."""
    by_key = {row["key"]: row for row in rows}
    found = ids_of(connection, table, by_key)
    missing = [row for key, row in by_key.items() if key not in found]
    if missing:
        connection.execute(table.insert(), missing)
        found |= ids_of(connection, table, (row["key"] for row in missing))
    return found


def intern_specs(connection: Connection, specs: Iterable[LayerSpec]) -> dict[LayerSpec, int]:
    keys = {spec: spec.key for spec in set(specs)}
    rows = [{"key": key, "json": spec.to_json()} for spec, key in keys.items()]
    found = intern(connection, tables.specs, rows)
    return {spec: found[key] for spec, key in keys.items()}


def intern_workloads(connection: Connection, workloads: Sequence[Stored]) -> dict[str, int]:
    """Ids by workload key."""
    spec_ids = intern_specs(connection, (w.spec for w in workloads if isinstance(w, Candidate)))
    rows = [_workload_row(workload, spec_ids) for workload in workloads]
    return intern(connection, tables.workloads, rows)


def _workload_row(workload: Stored, spec_ids: Mapping[LayerSpec, int]) -> dict[str, Any]:
    if isinstance(workload, Candidate):
        return {
            "key": workload.key,
            "kind": "candidate",
            "spec_id": spec_ids[workload.spec],
            "decomposition": workload.decomposition.to_json(),
            "description": None,
        }
    return {
        "key": workload.key,
        "kind": "network",
        "spec_id": None,
        "decomposition": None,
        "description": dict(workload.description),
    }


def intern_device(connection: Connection, fingerprint: DeviceFingerprint) -> int:
    key = fingerprint.key
    row = {
        "key": key,
        "backend": fingerprint.backend,
        "hardware_key": fingerprint.hardware_key,
        "software_key": fingerprint.software_key,
        "json": fingerprint.to_json(),
    }
    return intern(connection, tables.devices, [row])[key]


def intern_policy(connection: Connection, policy: MeasurementPolicy) -> int:
    row = {"key": policy.key, "json": policy.to_json()}
    return intern(connection, tables.policies, [row])[policy.key]
