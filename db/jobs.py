"""Jobs: long work that was asked for, kept so that it outlives the process that does it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, RowMapping, select, update

from ..errors import StoreError
from ..records import Job, JobState, content_key
from . import processes
from .tables import jobs
from .workloads import now, plain

ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled")
_FREE = {"host": None, "boot": None, "pid": None, "process_started": None}


def put(
    connection: Connection, kind: str, request: Mapping[str, Any], request_key: str | None
) -> tuple[Job, bool]:
    """A new queued job, or the one that was asked for with the same key and neither failed nor
    was cancelled; and whether it is new. Needs the write lock."""
    key = request_key or content_key([kind, request])
    found = _first(
        connection,
        jobs.c.request_key == key,
        jobs.c.kind == kind,
        jobs.c.state.in_(("queued", "running", "done")),
    )
    if found is not None:
        return found, False
    uuid = uuid4().hex
    row = {
        "uuid": uuid,
        "kind": kind,
        "request": dict(request),
        "request_key": key,
        "state": "queued",
        "progress": 0.0,
        "message": "",
        "error": "",
        "created_at": now(),
    }
    connection.execute(jobs.insert(), [row])
    return one(connection, uuid), True


def find(connection: Connection, uuid: str) -> Job | None:
    return _first(connection, jobs.c.uuid == uuid)


def one(connection: Connection, uuid: str) -> Job:
    job = find(connection, uuid)
    if job is None:
        raise StoreError(f"there is no job {uuid} in the store")
    return job


def listed(
    connection: Connection, states: Collection[str], kinds: Collection[str], limit: int, offset: int
) -> list[Job]:
    """The newest first; empty filters take all."""
    query = select(jobs).order_by(jobs.c.id.desc()).limit(limit).offset(offset)
    if states:
        query = query.where(jobs.c.state.in_(states))
    if kinds:
        query = query.where(jobs.c.kind.in_(kinds))
    return [_job(row) for row in connection.execute(query).mappings()]


def claim(connection: Connection, kinds: Collection[str], uuid: str | None) -> Job | None:
    """The oldest queued job, now running and this process's own. Needs the write lock: two
    processes never claim the same."""
    wanted = [jobs.c.state == "queued"]
    if kinds:
        wanted.append(jobs.c.kind.in_(kinds))
    if uuid is not None:
        wanted.append(jobs.c.uuid == uuid)
    found = _first(connection, *wanted)
    if found is None:
        return None
    owner = processes.this_process()
    mine = {
        "state": "running",
        "started_at": found.started_at or now(),
        "host": owner.host,
        "boot": owner.boot,
        "pid": owner.pid,
        "process_started": owner.started,
    }
    connection.execute(update(jobs).where(jobs.c.uuid == found.uuid).values(**mine))
    return one(connection, found.uuid)


def change(connection: Connection, uuid: str, changes: Mapping[str, Any]) -> Job:
    """Make the changes, unless the job has ended (then it stays as it is); the job as it is
    now. A job that ends gets its time of ending."""
    job = one(connection, uuid)
    if job.ended or not changes:
        return job
    values = dict(changes)
    for name in values.keys() & {"message", "error"}:
        values[name] = plain(values[name])
    if values.get("state") in ENDED:
        values |= {"ended_at": now(), **_FREE}
    elif values.get("state") == "queued":
        values |= _FREE
    connection.execute(update(jobs).where(jobs.c.uuid == uuid).values(**values))
    return one(connection, uuid)


def abandoned(connection: Connection) -> list[str]:
    """Running jobs whose process is gone."""
    c = jobs.c
    query = select(c.uuid, c.started_at, c.host, c.boot, c.pid, c.process_started)
    return [
        uuid
        for uuid, started_at, *owner in connection.execute(query.where(c.state == "running"))
        if processes.is_gone(processes.Owner(*owner), started_at)
    ]


def _first(connection: Connection, *wanted: ColumnElement[bool]) -> Job | None:
    query = select(jobs).where(*wanted).order_by(jobs.c.id).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else _job(row)


def _job(row: RowMapping) -> Job:
    return Job(
        uuid=row["uuid"],
        kind=row["kind"],
        request=row["request"],
        request_key=row["request_key"],
        state=row["state"],
        progress=row["progress"],
        message=row["message"],
        result=row["result"],
        error=row["error"],
        created_at=row["created_at"],
        started_at=row["started_at"] or "",
        ended_at=row["ended_at"] or "",
    )
