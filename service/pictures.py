"""Routes of pictures: fragments of HTML that the page puts in, and whole reports."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from .. import documents
from ..report.heat_map import groups, heat_map
from ..report.markup import tag
from ..report.page import layer_staircase, report_page, style_hash, stylesheet
from ..report.plan_pictures import agreement, front_figure, network_picture
from ..workflow.report import latest_front
from .artifact_routes import Device, Id
from .context import HTML_REFUSALS, Context, ContextDep

router = APIRouter(responses=HTML_REFUSALS, default_response_class=HTMLResponse)

NetworkId = Annotated[str, Query(pattern=r"^[0-9A-Za-z_]{1,160}$")]


def _table(here: Context, network: str, device: str | None) -> tuple[documents.Table, list[str]]:
    """The network's rows, and its layers' names in order."""
    entry = here.network(network)
    if entry.sha256 is None or entry.layers is None:  # nothing was measured of it
        return documents.Table(rows=[], failures=[]), []
    names = [layer["name"] for layer in entry.layers["layers"]]
    return here.table_of(entry.sha256, device=device), names


@router.get("/pictures/heat-map")
def heat(here: ContextDep, network: NetworkId, device: Device = None) -> HTMLResponse:
    """Layers by candidates, coloured by speedup."""
    table, names = _table(here, network, device)
    return HTMLResponse(heat_map(table, names, choose=True))


@router.get("/pictures/staircase")
def stairs(
    here: ContextDep, network: NetworkId, spec: NetworkId, device: Device = None
) -> HTMLResponse:
    """Latency over rank of one layer, on the device that it was measured on last."""
    table, _ = _table(here, network, device)
    rows = next(iter(groups(table).values()), [])
    return HTMLResponse(layer_staircase([row for row in rows if row.spec_key == spec]))


@router.get("/pictures/front")
def front(here: ContextDep, job: NetworkId) -> HTMLResponse:
    """The front that a job worked out."""
    record = here.store.jobs.get(job)
    if record is None or record.kind != "front" or record.result is None:
        raise HTTPException(404, "there is no such front")
    if not documents.Pareto.describes(record.result):
        return HTMLResponse(tag("p", "An earlier version worked this out: do it anew."))
    front = documents.Pareto.model_validate(dict(record.result))
    return HTMLResponse(front_figure(front, choose=True))


@router.get("/pictures/plan")
def plan(here: ContextDep, key: NetworkId) -> HTMLResponse:
    """The network with each decision and its reason."""
    return HTMLResponse(network_picture(here.plan(key)))


@router.get("/pictures/agreement")
def agree(here: ContextDep, key: NetworkId) -> HTMLResponse:
    """The predicted speedup against what was measured."""
    return HTMLResponse(agreement(here.plan(key), here.verifications(key)))


@router.get("/plans/{key}/report")
def report(here: ContextDep, key: Id, download: bool = False) -> HTMLResponse:
    """The plan as one HTML file that needs nothing else."""
    document = here.plan(key)
    sha256 = document.model.sha256
    text = report_page(
        document,
        here.table_of(sha256, device=document.device.hardware_key),
        latest_front(here.store, sha256),
        here.verifications(key),
        here.names().get(sha256, ""),
    )
    style = style_hash(stylesheet())
    headers = {
        "content-security-policy": f"default-src 'none'; style-src '{style}'; "
        "frame-ancestors 'none'; base-uri 'none'; sandbox"
    }
    if download:
        headers["content-disposition"] = 'attachment; filename="report.html"'
    return HTMLResponse(text, headers=headers)
