"""Devices of the fleet: which there are, where, and which of them are in quarantine."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, Row, Text, cast, select, update

from ..records import DeviceFingerprint
from . import clock
from .database import Database
from .tables import fleet_devices

HANGS = 3
"""Times in a row that a device may hang before it is put into quarantine."""


@dataclass(frozen=True, slots=True)
class FleetDevice:
    """One device as its worker registered it. `worker` is the worker's address in the cluster,
    `backend` the text that opens the device, `seen_at` by the database's clock. `state` is what
    does not follow from the rest; see `fleet.listing` for whether a device is busy or lost."""

    id: str
    host: str
    worker: str
    backend: str
    fingerprint: DeviceFingerprint
    labels: Sequence[str]
    versions: Mapping[str, str]
    state: Literal["ready", "quarantined"] = "ready"
    reason: str = ""
    hangs: int = 0
    seen_at: str = ""

    @property
    def hardware_key(self) -> str:
        return _hardware_key(self.fingerprint)


_JSON = ("fingerprint", "labels", "versions")
# As text: a thousand devices have the same few texts, and each is decoded once.
_COLUMNS = [
    cast(fleet_devices.c[field.name], Text).label(field.name)
    if field.name in _JSON
    else fleet_devices.c[field.name]
    for field in fields(FleetDevice)
]
_KEPT = {"id", "state", "reason", "hangs"}
"""What a device that registers again is not asked about: a restart heals nothing."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The devices of a store's fleet, by id."""

    database: Database

    def register(self, device: FleetDevice) -> FleetDevice:
        """Note a device that is there (again); it comes back with what is known of it."""
        with self.database.writing() as connection:
            values = {field.name: getattr(device, field.name) for field in fields(device)}
            values["fingerprint"] = device.fingerprint.to_json()
            values["seen_at"] = clock.now(connection)
            known = _one(connection, device.id)
            if known is None:
                connection.execute(fleet_devices.insert().values(**values))
            else:
                new = {name: value for name, value in values.items() if name not in _KEPT}
                _set(connection, device.id, **new)
            return _required(connection, device.id)

    def all(self) -> tuple[list[FleetDevice], str]:
        """Every device that has ever registered, and the time by the database's clock."""
        with self.database.reading() as connection:
            rows = connection.execute(select(*_COLUMNS).order_by(fleet_devices.c.id))
            return [_device(row) for row in rows], clock.now(connection)

    def fitting(self, device_id: str) -> list[FleetDevice]:
        """The device with that id, if there is one; every device where the id is empty."""
        if not device_id:
            return self.all()[0]
        device = self.get(device_id)
        return [] if device is None else [device]

    def get(self, device_id: str) -> FleetDevice | None:
        with self.database.reading() as connection:
            return _one(connection, device_id)

    def seen(self, workers: Collection[str]) -> None:
        """The workers at these addresses are there now."""
        with self.database.writing(shared=True, durable=False) as connection:
            there = fleet_devices.c.worker.in_(workers)
            seen = update(fleet_devices).where(there).values(seen_at=clock.now(connection))
            connection.execute(seen)

    def hung(self, device_id: str, reason: str) -> FleetDevice:
        """A job hung on the device: after `HANGS` in a row it goes into quarantine."""
        with self.database.writing() as connection:
            hangs = _required(connection, device_id).hangs + 1
            state = "quarantined" if hangs >= HANGS else "ready"
            _set(connection, device_id, hangs=hangs, state=state, reason=reason)
            return _required(connection, device_id)

    def well(self, device_id: str) -> None:
        """A job ended on the device by itself: what went before counts no more."""
        with self.database.writing(durable=False) as connection:
            ready = fleet_devices.c.id == device_id, fleet_devices.c.state == "ready"
            statement = update(fleet_devices).where(*ready, fleet_devices.c.hangs > 0)
            connection.execute(statement.values(hangs=0, reason=""))

    def release(self, device_id: str) -> FleetDevice | None:
        """Let a device out of quarantine; None if there is none of that id."""
        with self.database.writing() as connection:
            _set(connection, device_id, hangs=0, state="ready", reason="")
            return _one(connection, device_id)


def _set(connection: Connection, device_id: str, **values: Any) -> None:
    connection.execute(
        update(fleet_devices).where(fleet_devices.c.id == device_id).values(**values)
    )


def _one(connection: Connection, device_id: str) -> FleetDevice | None:
    row = connection.execute(select(*_COLUMNS).where(fleet_devices.c.id == device_id)).first()
    return None if row is None else _device(row)


def _device(row: Row[Any]) -> FleetDevice:
    id_, host, worker, backend, fingerprint, labels, versions, *rest = tuple(row)
    kind = _fingerprint(fingerprint)
    return FleetDevice(id_, host, worker, backend, kind, _value(labels), _value(versions), *rest)


@lru_cache(maxsize=4096)
def _value(text: str) -> Any:
    """Shared by all who read the same text: nobody changes it."""
    return json.loads(text)


@lru_cache(maxsize=4096)
def _fingerprint(text: str) -> DeviceFingerprint:
    return DeviceFingerprint.from_json(json.loads(text))


@lru_cache(maxsize=4096)
def _hardware_key(fingerprint: DeviceFingerprint) -> str:
    return fingerprint.hardware_key


def _required(connection: Connection, device_id: str) -> FleetDevice:
    found = _one(connection, device_id)
    assert found is not None, "a device is registered before anything is said of it"
    return found
