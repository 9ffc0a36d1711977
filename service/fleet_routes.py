"""Routes of the fleet: its devices, and letting one out of quarantine."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from .. import documents
from ..options.device_query import DeviceQuery
from ..workflow.fleet_devices import listed
from .artifact_routes import Id
from .context import REFUSALS, ContextDep

router = APIRouter(responses=REFUSALS)
Device = Annotated[
    str | None, Query(max_length=300, description="Such as `label=lab-a backend=torch-cuda`.")
]


@router.get("/fleet", response_model=documents.Fleet)
def fleet(here: ContextDep, device: Device = None) -> Response:
    """The devices of the fleet, and what each does now. Empty for a service without one."""
    query = None if device is None else DeviceQuery.parse(device, "device")
    # as text: FastAPI would check each of a thousand devices once more
    return Response(listed(here.store, query).model_dump_json(), media_type="application/json")


@router.post("/fleet/{device_id}/release")
def release(here: ContextDep, device_id: Id) -> documents.Fleet:
    """Let a device out of quarantine."""
    device = here.store.fleet.release(device_id)
    if device is None:
        raise HTTPException(404, "the fleet has no such device")
    if here.fleet is not None:
        here.fleet.look_again(device.worker)
    return listed(here.store, DeviceQuery(id=device_id))
