"""A worker's side of the fleet: its devices in the store, and the job that one of them does."""

from __future__ import annotations

import logging
import platform
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..db.fleet import FleetDevice
from ..db.store import Store
from ..errors import UsageError
from ..jobs.artifacts import ArtifactStore
from ..jobs.attendant import HANG_AFTER_S, Attendant, Ending
from ..options.device_query import DeviceQuery
from ..profiler.host_lock import host_lock
from ..profiler.probe_backends import ProbedBackend, probe_backends, probe_named
from ..records import content_key
from ..workflow.fleet_devices import versions
from .resources import of_worker

log = logging.getLogger("rankwise.fleet")
ID_DIGITS = 12
MADE_UP = "fake"
"""The backend that is no device: it is there for whoever names it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker is and what it has: these backends, or all that work here. `host` is what the
    machine is called: two machines of one name need to be told apart."""

    backends: Sequence[str] = ()
    labels: Sequence[str] = ()
    host: str = field(default_factory=platform.node)
    hang_after_s: float = HANG_AFTER_S

    def device_id(self, backend: str) -> str:
        """The same whenever the worker starts."""
        return content_key(["fleet device", self.host, backend])[:ID_DIGITS]


class Member:
    """A worker that has joined a fleet."""

    def __init__(self, place: Place, store: Store, db: str, artifacts: ArtifactStore) -> None:
        self.place, self.store, self.artifacts = place, store, artifacts
        self.attendant = Attendant(store, artifacts, db, place.hang_after_s)
        self.devices: dict[str, FleetDevice] = {}
        self._lock = threading.Lock()

    def register(self, worker: str) -> None:
        """Try every device and note it in the store as being at that address. Nothing is timed on
        this machine meanwhile. Raises `StoreError`, and `UsageError` if none works."""
        for one in self._probed():
            if one.fingerprint is None:
                log.error("%s does not work here: %s", one.name, one.reason)
                continue
            device = FleetDevice(
                id=self.place.device_id(one.name),
                host=self.place.host,
                worker=worker,
                backend=one.name,
                fingerprint=one.fingerprint,
                labels=list(self.place.labels),
                versions=versions(),
            )
            self._note(self.store.fleet.register(device))
        if not self.devices:
            raise UsageError("none of this worker's backends works: see what was said of each")

    def _probed(self) -> list[ProbedBackend]:
        with host_lock():
            if self.place.backends:
                return probe_named(self.place.backends)
            found = probe_backends()
        return [one for one in found if one.fingerprint is not None and one.name != MADE_UP]

    def refresh(self) -> None:
        """Look again at what the store says of the devices, as after one was let out of
        quarantine."""
        for device_id in list(self.devices):
            known = self.store.fleet.get(device_id)
            if known is not None:
                self._note(known)

    @property
    def resources(self) -> dict[str, float]:
        with self._lock:
            return of_worker(self.devices.values())

    def do(self, job: str, query: DeviceQuery) -> Ending | None:
        """Do a job on a device that the query fits; None if no such device is ready. Raises
        `StoreError` if the attempt cannot begin."""
        device = self._fitting(query)
        if device is None:
            return None
        ending = self.attendant.attend(job, device.id, device.backend)
        if ending is Ending.HUNG:
            limit = f"{self.place.hang_after_s:.0f} s"
            self._note(self.store.fleet.hung(device.id, f"job {job} made no progress for {limit}"))
        elif ending is Ending.SETTLED:
            self.store.fleet.well(device.id)
        return ending

    def _fitting(self, query: DeviceQuery) -> FleetDevice | None:
        with self._lock:
            for device in self.devices.values():
                about = (device.id, device.labels, device.backend, device.hardware_key)
                if device.state == "ready" and query.fits(*about):
                    return device
        return None

    def _note(self, device: FleetDevice) -> None:
        with self._lock:
            self.devices[device.id] = device

    def close(self) -> None:
        """End the job that runs, which is queued again."""
        self.attendant.stopping.set()
        self.store.close()


def open_member(place: Place, db: str, folder: Path) -> Member:
    """Open the store of a fleet, for a worker that keeps networks and pictures in that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Member(place, Store.open(db, create=False), db, ArtifactStore(folder.absolute()))
