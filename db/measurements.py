"""Reading measurements: summaries joined to what they are of, as plain records.

Speed is part of the contract (a table of one network out of a million samples in a second):
the one large query fetches numbers and ids only, and every spec, device and policy is decoded
once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, select, true

from ..records import (
    Decomposition,
    DeviceFingerprint,
    Failure,
    LayerSpec,
    Measurement,
    MeasurementPolicy,
    PairSummary,
    content_key,
)
from . import tables
from .tables import failures, network_layers, networks, sessions, summaries, workloads
from .workloads import CHUNK

ID_DIGITS = 16

_NUMBERS = tuple(summaries.c[name.name] for name in fields(PairSummary))

Ids = tuple[int, int, int]
"""Of a workload, a device and a policy: what a measurement is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which measurements; None is any. `layer` is a name, or a pattern as `layer3.*`."""

    network_sha: str | None = None
    backend: str | None = None
    hardware_key: str | None = None
    phase: str | None = None
    layer: str | None = None
    spec_keys: Collection[str] | None = None
    fingerprint_key: str | None = None
    policy_key: str | None = None

    def takes_device(self, key: str, device: DeviceFingerprint) -> bool:
        return (
            self.fingerprint_key in (None, key)
            and self.backend in (None, device.backend)
            and (self.hardware_key is None or self.hardware_key == device.hardware_key)
        )

    def takes_policy(self, key: str, policy: MeasurementPolicy) -> bool:
        return self.policy_key in (None, key) and self.phase in (None, policy.phase)

    def takes_spec(self, key: str, names: Sequence[str]) -> bool:
        if self.spec_keys is not None and key not in self.spec_keys:
            return False
        if self.network_sha is not None and not names:
            return False
        layer = self.layer
        return layer is None or any(layer == name or fnmatchcase(name, layer) for name in names)


@dataclass(frozen=True, slots=True)
class Known:
    """The values behind the ids that a query may return; specs are in the network's order."""

    devices: Mapping[int, tuple[str, DeviceFingerprint]]
    policies: Mapping[int, tuple[str, MeasurementPolicy]]
    specs: Mapping[int, tuple[LayerSpec, tuple[str, ...]]]
    workloads: Mapping[int, tuple[str, int, Decomposition]]

    def id_of(self, ids: Ids) -> str:
        workload, device, policy = ids
        return measurement_id(
            self.devices[device][0], self.policies[policy][0], self.workloads[workload][0]
        )


@dataclass(slots=True)
class _Entry:
    """What is stored of one measurement, in the order of its sessions."""

    summaries: list[PairSummary] = field(default_factory=list)
    at: str = ""
    failure: Failure | None = None


def measurement_id(device_key: str, policy_key: str, workload_key: str) -> str:
    """Equal for equal content, in every store."""
    return content_key([device_key, policy_key, workload_key])[:ID_DIGITS]


def select_measurements(connection: Connection, wanted: Wanted) -> list[Measurement]:
    """Measurements in the network's order of layers, then by decomposition and device.

    An unresolved failure hides numbers: what crashed once is not offered as a candidate.
    """
    known = known_values(connection, wanted)
    entries = _entries(connection, known)
    rank = {spec_id: position for position, spec_id in enumerate(known.specs)}

    def place(item: tuple[Ids, _Entry]) -> tuple[Any, ...]:
        workload_id, device_id, policy_id = item[0]
        _, spec_id, way = known.workloads[workload_id]
        return (rank[spec_id], way.kind, way.ranks, way.groups, device_id, policy_id)

    return [_measurement(known, *item) for item in sorted(entries.items(), key=place)]


def _measurement(known: Known, ids: Ids, entry: _Entry) -> Measurement:
    workload_id, device_id, policy_id = ids
    _, spec_id, decomposition = known.workloads[workload_id]
    spec, names = known.specs[spec_id]
    return Measurement(
        id=known.id_of(ids),
        spec=spec,
        decomposition=decomposition,
        fingerprint=known.devices[device_id][1],
        policy=known.policies[policy_id][1],
        summaries=() if entry.failure else tuple(entry.summaries),
        measured_at=entry.at,
        failure=entry.failure,
        layers=names,
    )


def known_values(connection: Connection, wanted: Wanted) -> Known:
    """Decode, once each, what the wanted measurements may be of."""
    specs = _specs(connection, wanted)
    return Known(
        _devices(connection, wanted),
        _policies(connection, wanted),
        specs,
        _workloads(connection, specs),
    )


def _devices(connection: Connection, wanted: Wanted) -> dict[int, tuple[str, DeviceFingerprint]]:
    table = tables.devices.c
    rows = connection.execute(select(table.id, table.key, table.json))
    found = ((row_id, key, DeviceFingerprint.from_json(json)) for row_id, key, json in rows)
    return {row_id: (key, d) for row_id, key, d in found if wanted.takes_device(key, d)}


def _policies(connection: Connection, wanted: Wanted) -> dict[int, tuple[str, MeasurementPolicy]]:
    table = tables.policies.c
    rows = connection.execute(select(table.id, table.key, table.json))
    found = ((row_id, key, MeasurementPolicy.from_json(json)) for row_id, key, json in rows)
    return {row_id: (key, p) for row_id, key, p in found if wanted.takes_policy(key, p)}


def _specs(connection: Connection, wanted: Wanted) -> dict[int, tuple[LayerSpec, tuple[str, ...]]]:
    names = _names(connection, wanted.network_sha)
    table = tables.specs.c
    query = select(table.id, table.key, table.json).order_by(table.id)
    if wanted.network_sha is not None:
        query = query.where(_one_of(table.id, names))
    rows = connection.execute(query)
    stored = {row_id: (key, json) for row_id, key, json in rows}
    order = [spec_id for spec_id in dict.fromkeys([*names, *stored]) if spec_id in stored]
    found = ((spec_id, *stored[spec_id], names.get(spec_id, ())) for spec_id in order)
    return {
        spec_id: (LayerSpec.from_json(json), uses)
        for spec_id, key, json, uses in found
        if wanted.takes_spec(key, uses)
    }


def _names(connection: Connection, network_sha: str | None) -> dict[int, tuple[str, ...]]:
    """Names of the layers with each spec: one network's, or those of all networks."""
    table = network_layers.c
    query = select(table.spec_id, table.name).where(table.spec_id.is_not(None))
    query = query.order_by(table.network_id, table.position)
    if network_sha is not None:
        network = select(networks.c.id).where(networks.c.sha256 == network_sha)
        query = query.where(table.network_id.in_(network))
    names: dict[int, dict[str, None]] = defaultdict(dict)
    for spec_id, name in connection.execute(query):
        names[spec_id][name] = None
    return {spec_id: tuple(found) for spec_id, found in names.items()}


def _workloads(
    connection: Connection, specs: Collection[int]
) -> dict[int, tuple[str, int, Decomposition]]:
    table = workloads.c
    query = select(table.id, table.key, table.spec_id, table.decomposition)
    rows = connection.execute(query.where(table.kind == "candidate", _one_of(table.spec_id, specs)))
    return {
        row_id: (key, spec_id, Decomposition.from_json(json))
        for row_id, key, spec_id, json in rows
        if spec_id in specs
    }


def _one_of(column: Column[Any], ids: Collection[int]) -> ColumnElement[bool]:
    """A filter for few ids. Many are not worth one: what comes too much is dropped after."""
    return column.in_(ids) if len(ids) <= CHUNK else true()


def _entries(connection: Connection, known: Known) -> dict[Ids, _Entry]:
    entries: dict[Ids, _Entry] = defaultdict(_Entry)
    for workload_id, device_id, policy_id, at, *numbers in rows_of(
        connection, known, _summary_query(known)
    ):
        entry = entries[workload_id, device_id, policy_id]
        entry.summaries.append(PairSummary(*numbers))
        entry.at = max(entry.at, at)
    for workload_id, device_id, policy_id, at, stage, reason in rows_of(
        connection, known, _failure_query(known)
    ):
        entry = entries[workload_id, device_id, policy_id]
        entry.failure = Failure(known.workloads[workload_id][0], stage, reason)
        entry.at = at
    return entries


def rows_of(connection: Connection, known: Known, query: Select[Any]) -> Iterator[Any]:
    """Rows whose first three columns, a measurement's ids, are all wanted."""
    for row in connection.execute(query):
        workload_id, device_id, policy_id = row[:3]
        if (
            workload_id in known.workloads
            and device_id in known.devices
            and policy_id in known.policies
        ):
            yield row


def _summary_query(known: Known) -> Select[Any]:
    table = summaries.c
    place = (table.workload_id, table.device_id, table.policy_id, sessions.c.ended_at)
    return (
        select(*place, *_NUMBERS)
        .select_from(summaries.join(sessions, table.session_id == sessions.c.id))
        .where(_of_specs(table.workload_id, known), _one_of(table.device_id, known.devices))
        .order_by(table.workload_id, table.session_id)
    )


def _failure_query(known: Known) -> Select[Any]:
    table = failures.c
    columns = (table.workload_id, table.device_id, table.policy_id, table.at)
    # by time, not by id: the same in every store, whatever was imported first
    query = select(*columns, table.stage, table.reason).order_by(table.at, table.id)
    return query.where(table.resolved.is_(False), _of_specs(table.workload_id, known))


def _of_specs(column: Column[Any], known: Known) -> ColumnElement[bool]:
    if len(known.specs) > CHUNK:
        return true()
    return column.in_(select(workloads.c.id).where(workloads.c.spec_id.in_(known.specs)))


def run_summaries(
    connection: Connection, keys: Collection[str], fingerprint_key: str, policy_key: str
) -> dict[str, tuple[PairSummary, ...]]:
    """Summaries of a few workloads by their keys, whatever their kind."""
    table = workloads.c
    devices = tables.devices
    policies = tables.policies
    joined = summaries.join(devices, summaries.c.device_id == devices.c.id)
    joined = joined.join(policies, summaries.c.policy_id == policies.c.id)
    joined = joined.join(workloads, summaries.c.workload_id == table.id)
    query = (
        select(table.key, *_NUMBERS)
        .select_from(joined)
        .where(table.key.in_(keys))
        .where(devices.c.key == fingerprint_key, policies.c.key == policy_key)
        .order_by(summaries.c.session_id)
    )
    found: dict[str, tuple[PairSummary, ...]] = {}
    for key, *numbers in connection.execute(query):
        found[key] = (*found.get(key, ()), PairSummary(*numbers))
    return found
