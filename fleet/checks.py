"""What can be seen to be wrong with a request for a device, before it waits in the queue."""

from __future__ import annotations

from typing import Any

from ..errors import UsageError
from ..jobs.requests import Request
from ..workflow.fleet_devices import FleetStore, refusal, whole
from .routing import query_of


def check(store: FleetStore, request: Request, has_fleet: bool) -> None:
    """Raise `UsageError` for a device that no fleet has, or that may not measure."""
    asked: dict[str, Any] = request.model_dump()
    if not has_fleet:
        if asked.get("device"):
            raise UsageError(
                "this service has no fleet: start it with --cluster, or name its backend"
            )
        return
    if asked.get("device") or asked.get("backend"):
        query = query_of(asked, None)
        devices = store.fleet.fitting(query.id)
        why_not = refusal(whole(query, devices), devices)
        if why_not:
            raise UsageError(why_not)
