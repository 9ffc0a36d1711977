"""What a worker holds and a job asks for, in the cluster's own terms: resources.

Dask gives a task to a worker only if it holds all that the task asks for, and runs it only while
nothing else uses it. A worker holds one unit of its host, so it does one job at a time; one of each
of its devices and of all that a query can say of them; and one that names its versions, so that
no job comes to a worker with others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..db.fleet import FleetDevice
from ..options.device_query import DeviceQuery

HOST = "host"


def of_worker(devices: Iterable[FleetDevice]) -> dict[str, float]:
    """What a worker holds. Devices in quarantine count nothing: what only they have is held no
    more."""
    held = {HOST: 1.0}
    for device in devices:
        ready = float(device.state == "ready")
        for name in _names(device):
            held[name] = max(held.get(name, 0.0), ready)
    return held


def of_job(query: DeviceQuery, own: dict[str, str]) -> dict[str, float]:
    """What a job asks for that is meant for any one device which fits. A beginning of a hardware
    key has to be the whole key by now."""
    names = [HOST, _versions(own), *(f"label={label}" for label in query.labels)]
    if query.id:
        names.append(f"id={query.id}")
    elif query.backend or query.hardware:
        names.append(_kind(query.backend, query.hardware))
    return dict.fromkeys(names, 1.0)


def _names(device: FleetDevice) -> list[str]:
    backends = ("", device.backend, device.backend.partition(":")[0])
    kinds = [_kind(b, h) for b in backends for h in ("", device.hardware_key) if b or h]
    labels = [f"label={label}" for label in device.labels]
    return [_versions(device.versions), f"id={device.id}", *labels, *kinds]


def _kind(backend: str, hardware: str) -> str:
    """Both in one, because a worker may have the one and the other on two devices."""
    return str(DeviceQuery(backend=backend, hardware=hardware))


def _versions(of: Mapping[str, str]) -> str:
    return " ".join(f"{name}={version}" for name, version in sorted(of.items()))
