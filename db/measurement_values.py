"""Which measurements are wanted, and the values behind the ids that their rows name.

Every spec, device and policy is decoded once: the large queries fetch numbers and ids only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, select, true

from ..content_keys import text_key
from ..records import Decomposition, DeviceFingerprint, LayerSpec, MeasurementPolicy
from . import tables
from .tables import network_layers, networks, workloads
from .workloads import CHUNK

ID_DIGITS = 16

Ids = tuple[int, int, int]
"""Of a workload, a device and a policy: what a measurement is of."""

_V = TypeVar("_V", DeviceFingerprint, MeasurementPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementFilter:
    """Which measurements are wanted; None is any. `layer` is a name, or a pattern as `layer3.*`;
    `devices` are backends or hardware keys, `dtypes` types of weights and activations."""

    network_sha: str | None = None
    backend: str | None = None
    hardware_key: str | None = None
    devices: Collection[str] | None = None
    phase: str | None = None
    dtypes: Collection[str] | None = None
    layer: str | None = None
    spec_keys: Collection[str] | None = None
    fingerprint_key: str | None = None
    policy_key: str | None = None

    def takes_device(self, key: str, device: DeviceFingerprint) -> bool:
        return (
            self.fingerprint_key in (None, key)
            and self.backend in (None, device.backend)
            and (self.hardware_key is None or self.hardware_key == device.hardware_key)
            and (self.devices is None or self._is_named(device))
        )

    def _is_named(self, device: DeviceFingerprint) -> bool:
        named = self.devices or ()
        return device.backend in named or device.hardware_key in named

    def takes_policy(self, key: str, policy: MeasurementPolicy) -> bool:
        return (
            self.policy_key in (None, key)
            and self.phase in (None, policy.phase)
            and (self.dtypes is None or policy.dtype in self.dtypes)
        )

    def takes_spec(self, key: str, names: Sequence[str]) -> bool:
        if self.spec_keys is not None and key not in self.spec_keys:
            return False
        if self.network_sha is not None and not names:
            return False
        layer = self.layer
        return layer is None or any(layer == name or fnmatchcase(name, layer) for name in names)


EVERYTHING = MeasurementFilter()


@dataclass(frozen=True, slots=True)
class Known:
    """The values behind the ids that a query may return; specs are in the network's order."""

    devices: Mapping[int, tuple[str, DeviceFingerprint]]
    policies: Mapping[int, tuple[str, MeasurementPolicy]]
    specs: Mapping[int, tuple[LayerSpec, tuple[str, ...]]]
    workloads: Mapping[int, tuple[str, int, Decomposition]]

    def id_of(self, ids: Ids) -> str:
        """Return the id of a measurement: equal for equal content, in every store."""
        workload, device, policy = ids
        keys = self.devices[device][0], self.policies[policy][0], self.workloads[workload][0]
        return text_key('["{}","{}","{}"]'.format(*keys))[:ID_DIGITS]  # the keys' JSON


def known_values(connection: Connection, wanted: MeasurementFilter) -> Known:
    """Decode, once each, what the wanted measurements may be of."""
    specs = _specs(connection, wanted)
    return Known(
        _values(connection, tables.devices, DeviceFingerprint, wanted.takes_device),
        _values(connection, tables.policies, MeasurementPolicy, wanted.takes_policy),
        specs,
        _workloads(connection, specs),
    )


def _values(
    connection: Connection, table: Table, kind: type[_V], takes: Callable[[str, _V], bool]
) -> dict[int, tuple[str, _V]]:
    rows = connection.execute(select(table.c.id, table.c.key, table.c.json))
    values = ((row_id, key, kind.from_json(json)) for row_id, key, json in rows)
    return {row_id: (key, value) for row_id, key, value in values if takes(key, value)}


def _specs(
    connection: Connection, wanted: MeasurementFilter
) -> dict[int, tuple[LayerSpec, tuple[str, ...]]]:
    names = _names(connection, wanted.network_sha)
    table = tables.specs.c
    query = select(table.id, table.key, table.json).order_by(table.id)
    if wanted.network_sha is not None:
        query = query.where(one_of(table.id, names))
    rows = connection.execute(query)
    stored = {row_id: (key, json) for row_id, key, json in rows}
    order = [spec_id for spec_id in dict.fromkeys([*names, *stored]) if spec_id in stored]
    specs = ((spec_id, *stored[spec_id], names.get(spec_id, ())) for spec_id in order)
    return {
        spec_id: (LayerSpec.from_json(json), uses)
        for spec_id, key, json, uses in specs
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
    return {spec_id: tuple(its_names) for spec_id, its_names in names.items()}


def _workloads(
    connection: Connection, specs: Collection[int]
) -> dict[int, tuple[str, int, Decomposition]]:
    table = workloads.c
    query = select(table.id, table.key, table.spec_id, table.decomposition)
    rows = connection.execute(query.where(table.kind == "candidate", one_of(table.spec_id, specs)))
    return {
        row_id: (key, spec_id, Decomposition.from_json(json))
        for row_id, key, spec_id, json in rows
        if spec_id in specs
    }


def one_of(column: Column[Any], ids: Collection[int]) -> ColumnElement[bool]:
    """Return a condition for few ids. Many are not worth one: `rows_of` drops what is too much."""
    return column.in_(ids) if len(ids) <= CHUNK else true()


def rows_of(connection: Connection, known: Known, query: Select[Any]) -> Iterator[Any]:
    """Yield the rows whose first three columns, a measurement's ids, are all wanted."""
    of, on, under = known.workloads, known.devices, known.policies
    for row in connection.execute(query).all():
        if row[0] in of and row[1] in on and row[2] in under:
            yield row
