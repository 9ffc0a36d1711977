"""Which device a job is meant for, and what it needs there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..db.jobs import JobRecord
from ..jobs.artifacts import ArtifactStore, NetworkEntry
from ..jobs.queue import JobStore, calibration_of_plan, network_of_plan
from ..options.device_query import DeviceQuery
from .parcels import Parcel

ON_DEVICES = ("profile", "plan", "verify")
"""Kinds of jobs that time something; the others are done where the service is."""


def query_of(request: Mapping[str, Any], plan: Mapping[str, Any] | None) -> DeviceQuery:
    """What the request says of its device: a query, a backend, or a plan that was made for one."""
    if request.get("device"):
        return DeviceQuery.parse(request["device"])
    if request.get("backend"):
        return DeviceQuery(backend=request["backend"])
    if plan is not None:
        return DeviceQuery(hardware=plan["device"]["hardware_key"])
    return DeviceQuery()


def plan_of(store: JobStore, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The plan that the request is about, if it is about one."""
    return store.plans.get(request["plan"]) if request.get("plan") else None


def parcel_for(
    store: JobStore,
    artifacts: ArtifactStore,
    record: JobRecord,
    plan: Mapping[str, Any] | None,
) -> Parcel:
    """What the job needs. Raises `UsageError` if something of it is not here any more."""
    request = record.request
    networks = [_network(artifacts, request, plan)]
    calibration = request.get("calibration")
    if calibration is None and plan is not None:
        calibration = calibration_of_plan(store, request["plan"])
    known = artifacts.calibrations() if calibration is not None else []
    found = [one for one in known if one.id == calibration]
    return Parcel.of(artifacts, networks, found)


def _network(
    artifacts: ArtifactStore, request: Mapping[str, Any], plan: Mapping[str, Any] | None
) -> NetworkEntry:
    if request.get("network"):
        return artifacts.network(request["network"])
    assert plan is not None, "a request names a network or a plan"
    return network_of_plan(artifacts, plan)
