"""A fleet whose devices are planted: each state once or more, and nobody who works."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from sqlalchemy import update

from rankwise.db import Store
from rankwise.db.fleet import HANGS, FleetDevice
from rankwise.db.tables import fleet_devices
from rankwise.records import DeviceFingerprint
from rankwise.workflow.fleet_devices import versions

LONG_AGO = "2026-01-01T00:00:00.000Z"
BUSY, QUARANTINED, LOST, OTHER, IDLE = (f"{number:012x}" for number in range(1, 6))


class IdleCluster:
    """A cluster that sees its workers and finishes nothing. It is its own client."""

    status = "running"

    def connect(self) -> Any:
        return self

    def submit(self, *_: Any, **__: Any) -> Any:
        return Future()

    def scheduler_info(self, **_: int) -> dict[str, Any]:
        return {"workers": {f"tcp://{BUSY}": {}, f"tcp://{IDLE}": {}}}

    def close(self, **_: float) -> None: ...


def device(name: str, number: int, **more: Any) -> FleetDevice:
    """A device whose worker's address is its name."""
    hardware = {"chip": "Cortex-A76", "cores": "4", "memory_gib": "8"}
    fingerprint = DeviceFingerprint.of("onnxruntime-cpu", hardware, {"onnxruntime": "1.22.0"})
    made = FleetDevice(
        id=name,
        host=f"board-{number:02d}",
        worker=f"tcp://{name}",
        backend="onnxruntime-cpu:threads=4",
        fingerprint=fingerprint,
        labels=["lab-a"],
        versions=versions(),
    )
    return replace(made, **more)


def plant(store: Store, idle: int = 4) -> None:
    """Every state: what hung three times, what was not seen for long, what has other versions."""
    for number, name in enumerate((BUSY, QUARANTINED, LOST, OTHER), 1):
        store.fleet.register(device(name, number))
    for _ in range(HANGS):
        store.fleet.hung(QUARANTINED, "job 4f1c made no progress for 1800 s")
    store.fleet.register(device(OTHER, 4, versions={**versions(), "rankwise": "0.1.0"}))
    with store.database.writing() as connection:
        lost = update(fleet_devices).where(fleet_devices.c.id == LOST)
        connection.execute(lost.values(seen_at=LONG_AGO))
    for number in range(idle):
        name = f"{int(IDLE, 16) + number:012x}"
        one = device(name, 10 + number, worker=f"tcp://{IDLE}", labels=["lab-b"])
        store.fleet.register(one)
