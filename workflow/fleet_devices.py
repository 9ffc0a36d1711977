"""`rankwise devices --fleet`: which devices a fleet has, what each does, what a query means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from .. import documents
from ..db.fleet import Fleet, FleetDevice
from ..db.jobs import Jobs
from ..db.store import Store
from ..errors import UsageError
from ..options.device_query import DeviceQuery
from ..options.keywords import takes
from ..options.measuring import FleetOptions
from ..records import DeviceFingerprint
from ..version import __version__

LOST_AFTER_S = 30.0
"""Since the service has seen a worker last, which it does every few seconds."""


class FleetStore(Protocol):
    """What is read of a store."""

    @property
    def fleet(self) -> Fleet: ...

    @property
    def jobs(self) -> Jobs: ...


def versions() -> dict[str, str]:
    """Of what has to be the same on a worker and at its service; Dask is missing where nothing but
    the store is looked at."""
    return {"rankwise": __version__, **_dask()}


@cache
def _dask() -> dict[str, str]:
    """It is read from a file, and asked for at each job."""
    try:
        return {"distributed": version("distributed")}
    except PackageNotFoundError:
        return {}


@takes(FleetOptions)
def fleet_devices(options: FleetOptions) -> documents.Fleet:
    """The devices of the fleet whose store this is, and what each does, once the one to `release`
    is out of quarantine: its worker learns that when it starts next, or from the service.

    >>> rw.fleet_devices()
    <Fleet: no devices yet>
    """
    with Store.open(options.db, create=False) as store:
        if options.release is not None and store.fleet.release(options.release) is None:
            raise UsageError(f"the fleet has no device {options.release!r}; see devices --fleet")
        return listed(store)


def listed(store: FleetStore, query: DeviceQuery | None = None) -> documents.Fleet:
    """Every device that the query fits, and what it does now. All times are the database's."""
    devices, read_at = store.fleet.all()
    running = store.jobs.on_devices()
    now, own = datetime.fromisoformat(read_at), versions()
    shown = [
        _shown(device, running.get(device.id), now, own)
        for device in devices
        if query is None or fits(query, device)
    ]
    about = {"kind": "rankwise.fleet", "schema_version": documents.SCHEMA_VERSION}
    return documents.Fleet.of_own({**about, "versions": own, "devices": shown})


def fits(query: DeviceQuery, device: FleetDevice) -> bool:
    key = device.hardware_key if query.hardware else ""
    return query.fits(device.id, device.labels, device.backend, key)


def _shown(
    device: FleetDevice, job: str | None, now: datetime, own: dict[str, str]
) -> documents.FleetDevice:
    age_s = (now - datetime.fromisoformat(device.seen_at)).total_seconds()
    state, reason = _state(device, job, age_s, own)
    return documents.FleetDevice.of_own(
        {
            "id": device.id,
            "host": device.host,
            "backend": device.backend,
            "fingerprint": _fingerprint(device.fingerprint),
            "labels": list(device.labels),
            "versions": dict(device.versions),
            "state": state,
            "reason": reason,
            "job": job,
            "seen_at": device.seen_at,
            "seen_s_ago": max(age_s, 0.0),
        }
    )


@lru_cache(maxsize=4096)
def _fingerprint(record: DeviceFingerprint) -> documents.Fingerprint:
    """Boards of one kind are many, and their keys are hashes."""
    return documents.Fingerprint.of(record)


def _state(device: FleetDevice, job: str | None, age_s: float, own: dict[str, str]) -> Any:
    """The first of these that is true."""
    if device.state == "quarantined":
        return "quarantined", device.reason
    if other := other_versions(device, own):
        return "other_versions", other
    if age_s > LOST_AFTER_S:
        return "lost", ""
    return ("idle" if job is None else "busy"), ""


def other_versions(device: FleetDevice, own: dict[str, str]) -> str:
    """Which versions differ from the service's; empty if none does."""
    theirs = device.versions
    if theirs == own:
        return ""
    differing = [name for name in sorted({*own, *theirs}) if own.get(name) != theirs.get(name)]
    return ", ".join(f"{name} {theirs.get(name)} instead of {own.get(name)}" for name in differing)


def may_measure(device: FleetDevice, own: dict[str, str]) -> bool:
    """Whether the service gives it jobs, as things are. One that is lost may come back."""
    return device.state != "quarantined" and not other_versions(device, own)


def whole(query: DeviceQuery, devices: Iterable[FleetDevice]) -> DeviceQuery:
    """The query with the whole hardware key where it had only a beginning. Raises `UsageError` if
    several begin so."""
    if not query.hardware:
        return query
    keys = {d.hardware_key for d in devices if d.hardware_key.startswith(query.hardware)}
    if not keys:
        return query
    if len(keys) > 1:
        raise UsageError(f"several hardware keys begin with {query.hardware!r}: write more of it")
    return replace(query, hardware=keys.pop())


def refusal(query: DeviceQuery, devices: Sequence[FleetDevice]) -> str:
    """Why no device of the fleet will ever do what is asked as things are; empty if one may."""
    fitting = [device for device in devices if fits(query, device)]
    if not fitting:
        return f"the fleet has no device that fits {str(query) or 'any query'}: see devices --fleet"
    own = versions()
    if any(may_measure(device, own) for device in fitting):
        return ""
    reasons = [f"{device.id} on {device.host} {_why_not(device, own)}" for device in fitting]
    advice = "`rankwise devices --release ID` lets a device out of quarantine"
    return f"no device that fits {query} may measure: {'; '.join(reasons)}; {advice}"


def _why_not(device: FleetDevice, own: dict[str, str]) -> str:
    if device.state == "quarantined":
        return f"is in quarantine ({device.reason})"
    return f"has {other_versions(device, own)}"
