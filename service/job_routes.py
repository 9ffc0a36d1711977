"""Routes of jobs: asking for them, watching, cancelling, resuming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from ..jobs import queue as work
from ..jobs.requests import JOB_TYPES, REQUESTS, JobKind, Request
from .artifact_routes import Id, Limit, Offset
from .context import REFUSALS, Context, ContextDep
from .models import Job, Page, State

router = APIRouter(responses=REFUSALS)

EVERY_S = 0.5
HEARTBEAT_S = 15.0

ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {"model": Job, "description": "The same request waits or runs already"}
}


def _add_route(kind: JobKind) -> None:
    """The route that takes requests for jobs of that kind."""

    def submit(here: ContextDep, request: Request, response: Response) -> Job:
        job, new = here.submit(kind, request)
        response.status_code = 202 if new else 200
        response.headers["location"] = f"/api/v1/jobs/{job.id}"
        return job

    submit.__name__, submit.__doc__ = kind, JOB_TYPES[kind].does
    submit.__annotations__["request"] = REQUESTS[kind]
    router.post(JOB_TYPES[kind].path, status_code=202, responses=ACCEPTED)(submit)


for kind in JOB_TYPES:
    _add_route(kind)


@router.get("/jobs")
def jobs(
    here: ContextDep,
    kind: Annotated[list[JobKind] | None, Query()] = None,
    state: Annotated[list[State] | None, Query()] = None,
    device: Annotated[str | None, Query(max_length=16, description="One of the fleet's.")] = None,
    oldest_first: bool = False,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Page[Job]:
    """Jobs without their logs, the newest first."""
    records, total = here.store.jobs.page(
        kinds=kind or (),
        states=state or (),
        device=device,
        oldest_first=oldest_first,
        limit=limit,
        offset=offset,
    )
    items = [Job.in_list(one) for one in records]
    return Page(items=items, total=total, limit=limit, offset=offset)


def _job(here: Context, job_id: str) -> Job:
    record = here.store.jobs.get(job_id)
    if record is None:
        raise HTTPException(404, "there is no such job")
    return Job.of(record)


@router.get("/jobs/{job_id}")
def job(here: ContextDep, job_id: Id) -> Job:
    """One job."""
    return _job(here, job_id)


@router.post("/jobs/{job_id}/cancel")
def cancel(here: ContextDep, job_id: Id) -> Job:
    """End a job that waits or runs. What it has measured is kept."""
    _job(here, job_id)
    if not work.cancel(here.store, job_id):
        raise HTTPException(409, "this job has ended already")
    here.scheduler.wake()
    return _job(here, job_id)


@router.post("/jobs/{job_id}/resume", status_code=202)
def resume(here: ContextDep, job_id: Id) -> Job:
    """Ask again for what a failed or cancelled job was to do; it goes on from what is there."""
    _job(here, job_id)
    record = work.resume(here.store, job_id)
    if record is None:
        raise HTTPException(409, "only jobs that failed or were cancelled can be resumed")
    here.scheduler.wake()
    return Job.of(record)


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`event: job`, whose data is the job, whenever it changes; the stream "
            "ends with the job",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def events(here: ContextDep, job_id: Id) -> StreamingResponse:
    """A job's progress as server-sent events."""
    await run_in_threadpool(_job, here, job_id)
    if here.listeners >= here.settings.max_listeners:
        raise HTTPException(429, "too many listen already")
    return StreamingResponse(_stream(here, job_id), media_type="text/event-stream")


async def _stream(here: Context, job_id: str) -> AsyncIterator[str]:
    here.listeners += 1
    try:
        last, quiet = "", 0.0
        while not here.stopping.is_set():
            job = await run_in_threadpool(_job, here, job_id)
            text = job.model_dump_json()
            if text != last:
                last, quiet = text, 0.0
                yield f"event: job\ndata: {text}\n\n"
            elif quiet >= HEARTBEAT_S:
                quiet = 0.0
                yield ": still here\n\n"
            if job.state not in ("queued", "running"):
                return
            await asyncio.sleep(EVERY_S)
            quiet += EVERY_S
    finally:
        here.listeners -= 1
