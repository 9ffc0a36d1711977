"""Routes of what jobs work on: devices, networks, calibration pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as File
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import StringConstraints

from .. import documents
from ..jobs.artifacts import CalibrationEntry, NetworkEntry
from ..jobs.uploads import accept_calibration, accept_network, require_room
from ..options.texts import parse_input, parse_shape
from . import known_networks
from .context import REFUSALS, Context, ContextDep, missing_is_404
from .models import Calibration, Network, NetworkFormat, NetworkGraph, Page

router = APIRouter(responses=REFUSALS)

Id = Annotated[str, Path(pattern=r"^[0-9A-Za-z_]{1,160}$")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Name = Annotated[str, Query(max_length=300, description="What the file is called: only shown.")]
Device = Annotated[str | None, Query(max_length=80, description="A backend, or a hardware key.")]
Search = Annotated[str | None, Query(max_length=100, description="A part of the name.")]

InputText = Annotated[str, StringConstraints(max_length=300)]

BINARY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def page_of(items: list[Any], limit: int, offset: int, model: Callable[[Any], Any]) -> Page[Any]:
    """The part of the list that was asked for, each thing as the model shows it."""
    part = [model(one) for one in items[offset : offset + limit]]
    return Page(items=part, total=len(items), limit=limit, offset=offset)


@router.get("/devices")
def devices(here: ContextDep) -> documents.Devices:
    """Every backend as it was tried last: PASS, or the reason why not. Empty until the first
    `devices` job, which is queued when the service starts, is done."""
    done, _ = here.store.jobs.page(kinds=("devices",), states=("done",), limit=1)
    if not done:
        return documents.Devices(devices=[])
    return documents.Devices.model_validate(dict(done[0].result))


@router.get("/networks")
def networks(
    here: ContextDep,
    format: NetworkFormat | None = None,
    name: Search = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Page[Network]:
    """The zoo's networks, those that were uploaded, and those that were profiled into the service's
    store on the command line (`store`), of which there is no file."""
    fitting = [
        one
        for one in known_networks.listed(here)
        if (format is None or one.format == format)
        and (name is None or name.lower() in one.name.lower())
    ]
    return page_of(fitting, limit, offset, Network.model_validate)


@router.post("/networks", status_code=201, openapi_extra=BINARY)
async def upload_network(
    here: ContextDep,
    request: Request,
    name: Name = "unnamed",
    architecture: Annotated[
        str | None, Query(max_length=40, description="For .safetensors: a name of the zoo.")
    ] = None,
    input_shape: Annotated[
        str | None, Query(max_length=40, description="As 1,3,224,224, if the file leaves it open.")
    ] = None,
    input: Annotated[
        list[InputText] | None, Query(max_length=32, description="As input_ids=1,16:int64.")
    ] = None,
) -> Network:
    """Upload an `.onnx` file, or `.safetensors` weights for an architecture of the zoo.

    The body is the file itself. It is checked before it is kept: it must hold its weights, be
    valid, and run once on zeros. The same file again gives the same network.
    """
    shape = None if input_shape is None else parse_shape(input_shape, "input_shape")
    inputs = [parse_input(text, "input") for text in input or ()]

    def accept(received: File) -> NetworkEntry:
        return accept_network(here.artifacts, received, name, architecture, shape, inputs)

    return Network.model_validate(await _receive(here, request, accept))


async def _receive(here: Context, request: Request, accept: Callable[[File], Any]) -> Any:
    """Stream the body into a file, then have it checked; nothing stays if it is refused."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/octet-stream":
        raise HTTPException(422, "send the file itself, as application/octet-stream")
    coming = int(request.headers.get("content-length", 0))
    require_room(here.artifacts, here.settings.limits, coming)
    received = here.artifacts.folder / "incoming" / uuid4().hex
    try:
        async with here.receiving:
            with received.open("wb") as file:
                async for chunk in request.stream():
                    file.write(chunk)
            if not received.stat().st_size:
                raise HTTPException(422, "the body is empty: send the file")
            # again, because not every body says beforehand how long it is
            require_room(here.artifacts, here.settings.limits, 0)
            return await run_in_threadpool(accept, received)
    finally:
        received.unlink(missing_ok=True)


@router.get("/networks/{network_id}")
def network(here: ContextDep, network_id: Id) -> Network:
    """One network."""
    return known_networks.one(here, network_id)


@router.get("/networks/{network_id}/layers")
def layers(here: ContextDep, network_id: Id) -> documents.Layers:
    """Its layers, their costs, and which kinds of decomposition apply, or why none does."""
    return known_networks.layers(here, network_id)


@router.get("/networks/{network_id}/graph")
def graph(here: ContextDep, network_id: Id) -> NetworkGraph:
    """How its layers follow one another; one after the other where that cannot be read."""
    return known_networks.graph(here, network_id)


@router.delete("/networks/{network_id}", status_code=204)
def delete_network(here: ContextDep, network_id: Id) -> Response:
    """Delete an uploaded network; what was measured stays."""
    if known_networks.is_stored_only(here, network_id):
        raise HTTPException(409, "of this network there is no file here: only what was measured")
    entry = here.network(network_id)
    if entry.format == "zoo":
        raise HTTPException(409, "networks of the zoo are always there")
    _require_unused(here, "network", network_id)
    here.artifacts.remove(entry)
    return Response(status_code=204)


def _require_unused(here: Context, field: str, value: str) -> None:
    live, _ = here.store.jobs.page(states=("queued", "running"), limit=1000)
    if any(value == record.request.get(field) for record in live):
        raise HTTPException(409, "a job that waits or runs needs it: cancel the job first")


@router.get("/calibrations")
def calibrations(
    here: ContextDep,
    kind: Literal["pictures", "tensors"] | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Page[Calibration]:
    """Calibration pictures and ready tensors that were uploaded."""
    fitting = [e for e in here.artifacts.calibrations() if kind in (None, e.kind)]
    return page_of(fitting, limit, offset, Calibration.model_validate)


@router.post("/calibrations", status_code=201, openapi_extra=BINARY)
async def upload_calibration(
    here: ContextDep, request: Request, name: Name = "unnamed"
) -> Calibration:
    """Upload a `.zip` of pictures, or an `.npz` of ready tensors. The body is the file itself.

    What the archive declares is checked before anything is unpacked.
    """

    def accept(received: File) -> CalibrationEntry:
        return accept_calibration(here.artifacts, received, name, here.settings.limits)

    return Calibration.model_validate(await _receive(here, request, accept))


@router.get("/calibrations/{calibration_id}")
def calibration(here: ContextDep, calibration_id: Id) -> Calibration:
    """One of them."""
    return Calibration.model_validate(_calibration(here, calibration_id))


@router.delete("/calibrations/{calibration_id}", status_code=204)
def delete_calibration(here: ContextDep, calibration_id: Id) -> Response:
    """Delete it; plans that were made with it stay."""
    entry = _calibration(here, calibration_id)
    _require_unused(here, "calibration", calibration_id)
    here.artifacts.remove(entry)
    return Response(status_code=204)


def _calibration(here: Context, calibration_id: str) -> CalibrationEntry:
    with missing_is_404():
        return here.artifacts.calibration(calibration_id)
