"""Routes of what was found: profiles, tables, fronts, plans, applied networks, verifications."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import FileResponse

from .. import documents
from ..jobs.queue import check_plan
from ..workflow.fronts import known_fronts
from . import columns, tables
from .artifact_routes import Device, Id, Limit, Offset, page_of
from .context import REFUSALS, ContextDep, missing_is_404
from .models import Applied, Front, Page, PlanNote, PlanVerification

router = APIRouter(responses=REFUSALS)

Sha = Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$", description="A network's SHA-256.")]
Text = Annotated[str | None, Query(max_length=200)]
MEDIA = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.get("/profiles")
def profiles(
    here: ContextDep, network: Sha = None, limit: Limit = 20, offset: Offset = 0
) -> Page[documents.Profile]:
    """What profiles have measured, the newest first."""
    done, _ = here.store.jobs.page(kinds=("profile",), states=("done",), limit=1000)
    results = [dict(record.result) for record in done if record.result]
    known = [one for one in results if documents.Profile.describes(one)]
    fitting = [one for one in known if network in (None, one["model"]["sha256"])]
    return page_of(fitting, limit, offset, documents.Profile.model_validate)


@router.get("/fronts")
def fronts(
    here: ContextDep, network: Sha = None, limit: Limit = 20, offset: Offset = 0
) -> Page[Front]:
    """Fronts of speedup against fidelity, the newest first: of jobs, and of `rankwise pareto`."""
    return page_of(known_fronts(here.store, network), limit, offset, Front.known)


@router.get(
    "/tables",
    responses={
        200: {
            "model": documents.Table,
            "headers": {"x-total-count": {"schema": {"type": "integer"}, "required": True}},
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": BINARY,
            },
        },
        304: {"description": "As it was when the caller read it"},
    },
)
def table(
    here: ContextDep,
    network: Sha = None,
    device: Device = None,
    layer: Text = None,
    phase: Literal["inference", "training"] | None = None,
    dtype: Literal["float32", "float16", "bfloat16", "int8"] | None = None,
    verdict: Literal["FASTER", "SLOWER", "SAME", "UNDECIDED"] | None = None,
    format: Literal["json", "csv", "parquet"] = "json",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    offset: Offset = 0,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The per-layer speedup table: JSON by pages, CSV and Parquet whole."""
    query = tables.Query(network, device, layer, phase, dtype, verdict)
    if network is not None and not here.measured(network):
        empty = documents.Table(rows=[], failures=[])
        return _answer(empty.model_dump_json().encode(), 0, "application/json", None)
    if format == "json":
        body, total = here.tables.page(query, limit, offset)
        return _answer(body, total, "application/json", if_none_match)
    total = len(here.tables.document(query).rows)
    return _answer(here.tables.written(query, format), total, MEDIA[format], if_none_match)


@router.get("/tables/columns", response_model=columns.Columns)
def table_by_columns(
    here: ContextDep,
    network: Annotated[str, Query(pattern=r"^[0-9a-f]{64}$", description="A network's SHA-256.")],
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A network's whole speedup table by columns, a tenth of the size of its rows."""
    if not here.measured(network):
        empty = columns.columns_of(documents.Table(rows=[], failures=[]))
        return _answer(empty.model_dump_json().encode(), 0, "application/json", None)
    body, total = here.tables.by_columns(tables.Query(network))
    return _answer(body, total, "application/json", if_none_match)


def _answer(body: bytes, total: int, media: str, seen: str | None) -> Response:
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"etag": tag, "x-total-count": str(total), "cache-control": "no-cache"}
    if seen is not None and tag in seen:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media, headers=headers)


@router.get("/plans")
def plans(
    here: ContextDep, network: Sha = None, limit: Limit = 20, offset: Offset = 0
) -> Page[PlanNote]:
    """Plans, the newest first."""
    stored = here.store.plans.all(network)

    def note(pair: tuple[str, dict[str, Any]]) -> PlanNote:
        return PlanNote.of(pair[0], here.with_verification(*pair))

    return page_of(stored, limit, offset, note)


@router.post("/plans/documents", status_code=201)
def put_plan(here: ContextDep, plan: documents.Plan) -> PlanNote:
    """Keep a plan that was made elsewhere or edited by hand; its network must be here."""
    check_plan(here.artifacts, plan)
    key = here.store.plans.put(plan.model_dump(mode="json"))
    return PlanNote.of(key, plan)


@router.get("/plans/{key}", response_model=documents.Plan)
def plan(here: ContextDep, key: Id, download: bool = False) -> Response:
    """A plan with its latest verification: what `apply` and `verify` take."""
    body = here.plan(key).model_dump_json(indent=2) + "\n"
    return Response(body, media_type="application/json", headers=_attached("plan.json", download))


def _attached(name: str, download: bool) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'} if download else {}


@router.get("/applied")
def applied(
    here: ContextDep,
    plan: Annotated[str | None, Query(pattern=r"^[0-9a-f]{1,64}$")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Page[Applied]:
    """Compressed networks, the newest first."""
    fitting = [entry for entry in here.artifacts.applied() if plan in (None, entry.plan)]
    return page_of(fitting, limit, offset, Applied.model_validate)


@router.get(
    "/applied/{applied_id}/file",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": BINARY}}},
)
def applied_file(here: ContextDep, applied_id: Id) -> FileResponse:
    """The compressed network itself."""
    with missing_is_404():
        entry = here.artifacts.applied_one(applied_id)
    return FileResponse(
        here.artifacts.folder / entry.file,
        media_type="application/octet-stream",
        filename=f"compressed-{entry.plan[:8]}.{entry.format}",
    )


@router.delete("/applied/{applied_id}", status_code=204)
def delete_applied(here: ContextDep, applied_id: Id) -> Response:
    """Delete a compressed network; its plan can make it again."""
    with missing_is_404():
        here.artifacts.remove(here.artifacts.applied_one(applied_id))
    return Response(status_code=204)


@router.get("/verifications")
def verifications(
    here: ContextDep,
    plan: Annotated[str, Query(pattern=r"^[0-9a-f]{1,64}$", description="A plan's key.")],
    limit: Limit = 20,
    offset: Offset = 0,
) -> Page[PlanVerification]:
    """Verifications of a plan, the newest first."""

    def of_plan(one: documents.Verification) -> PlanVerification:
        return PlanVerification(plan=plan, **one.model_dump())

    return page_of(here.verifications(plan), limit, offset, of_plan)
