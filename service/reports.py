"""Routes of files that show a plan: the report, and its picture alone."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from ..report.page import report_page, style_hash, stylesheet
from ..report.pictures.layer_bars import plan_picture
from ..workflow.fronts import latest_front
from .artifact_routes import Id
from .context import HTML_REFUSALS, ContextDep

router = APIRouter(responses=HTML_REFUSALS, default_response_class=HTMLResponse)

MEDIA = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}


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


@router.get("/plans/{key}/picture", response_class=Response)
def picture(here: ContextDep, key: Id, format: Literal["png", "svg", "pdf"] = "svg") -> Response:
    """Each layer's share of the time, before and after, as a file for papers."""
    document = here.plan(key)
    name = here.names().get(document.model.sha256, document.model.source)
    drawn = plan_picture(document, f"{name} on {document.device.backend}")
    headers = {"content-disposition": f'attachment; filename="plan.{format}"'}
    return Response(drawn.file(f".{format}"), media_type=MEDIA[format], headers=headers)
