"""Jobs: long work that was asked for, who does it, and what came of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, delete, func, literal_column, or_, select, update

from ..clock import now
from . import processes
from .database import Database
from .tables import jobs
from .workloads import chunks

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
LIVE = ("queued", "running")


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job. `request_key` is the content key of kind and request: of all live jobs only
    one has it. `owner` names the process that runs it; times are UTC in ISO 8601. `attempt` is how
    often it was begun, `device` the one of the fleet that has it, or had it last."""

    uuid: str
    kind: str
    request: Mapping[str, Any]
    request_key: str
    state: JobState
    progress: Mapping[str, Any]
    result: Mapping[str, Any] | None
    error: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    owner: Mapping[str, Any] | None
    attempt: int = 0
    device: str | None = None

    @property
    def live(self) -> bool:
        return self.state in LIVE


@dataclass(frozen=True, slots=True)
class Waiting:
    """A live job in short: its place in the queue, and the query of its device."""

    id: int
    uuid: str
    device: str


# Written out, so that PostgreSQL sees that the index of live requests serves.
_IS_LIVE = jobs.c.state.in_([literal_column(f"'{state}'") for state in LIVE])
_COLUMNS = [jobs.c[field.name] for field in fields(JobRecord)]


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of a store, by uuid."""

    database: Database

    def put(self, record: JobRecord) -> JobRecord:
        """Queue a job; the live one with the same request, if there is one, comes back instead."""
        query = select(*_COLUMNS).where(jobs.c.request_key == record.request_key)
        values = {field.name: getattr(record, field.name) for field in fields(JobRecord)}
        with self.database.writing() as connection:
            row = connection.execute(query.where(_IS_LIVE)).first()
            if row is not None:
                return JobRecord(*row)
            connection.execute(jobs.insert().values(**values))
        return record

    def begin_attempt(self, uuid: str, device: str | None = None) -> int | None:
        """Take a live job over: the number of the new attempt at it, which makes whoever works for
        an earlier one stale. None if the job is not live any more."""
        live = jobs.c.uuid == uuid, _IS_LIVE
        with self.database.writing() as connection:
            before = connection.scalar(select(jobs.c.attempt).where(*live))
            if before is None:
                return None
            begun = {"attempt": before + 1, "state": "queued", "owner": None, "device": device}
            connection.execute(update(jobs).where(*live).values(**begun))
            return int(before) + 1

    def claim(self, uuid: str | None = None, attempt: int | None = None) -> JobRecord | None:
        """Make this process run a queued job (that one, or the oldest); None if there is none, or
        if the attempt at it is over."""
        query = select(jobs.c.uuid).where(jobs.c.state == "queued")
        if uuid is not None:
            query = query.where(jobs.c.uuid == uuid)
        if attempt is not None:
            query = query.where(jobs.c.attempt == attempt)
        owner = asdict(processes.this_process())
        with self.database.writing() as connection:
            claimed = connection.scalar(query.order_by(jobs.c.created_at, jobs.c.id).limit(1))
            if claimed is None:
                return None
            run = update(jobs).where(jobs.c.uuid == claimed, jobs.c.state == "queued")
            connection.execute(run.values(state="running", started_at=now(), owner=owner))
            return _one(connection, claimed)

    def update(
        self,
        uuid: str,
        *,
        states: Collection[str] = LIVE,
        of_attempt: int | None = None,
        **values: Any,
    ) -> bool:
        """Set columns of a job if it is in one of these states, and if that attempt at it is the
        last; whether it was so."""
        if values.get("state") in ("done", "failed", "cancelled"):
            values.setdefault("ended_at", now())
        statement = update(jobs).where(jobs.c.uuid == uuid, jobs.c.state.in_(states))
        if of_attempt is not None:
            statement = statement.where(jobs.c.attempt == of_attempt)
        with self.database.writing() as connection:
            return connection.execute(statement.values(**values)).rowcount == 1

    def tell(self, uuid: str, attempt: int, progress: Mapping[str, Any]) -> None:
        """Say how far a running job is, if that attempt at it is the last. Often: it waits for no
        other writer where the database needs no such waiting, and is not flushed to the disk."""
        ours = jobs.c.uuid == uuid, jobs.c.attempt == attempt, jobs.c.state == "running"
        with self.database.writing(shared=True, durable=False) as connection:
            connection.execute(update(jobs).where(*ours).values(progress=progress))

    def get(self, uuid: str) -> JobRecord | None:
        """The job with this uuid, if there is one."""
        with self.database.reading() as connection:
            return _one(connection, uuid)

    def page(
        self,
        *,
        kinds: Collection[str] = (),
        states: Collection[str] = (),
        device: str | None = None,
        limit: int = 100,
        offset: int = 0,
        oldest_first: bool = False,
    ) -> tuple[list[JobRecord], int]:
        """A page of the jobs that fit, newest first, and how many fit in all."""
        where = _of(kinds)
        if states:
            where.append(jobs.c.state.in_(states))
        if device is not None:
            where.append(jobs.c.device == device)
        order = jobs.c.id.asc() if oldest_first else jobs.c.id.desc()
        query = select(*_COLUMNS).where(*where).order_by(order).limit(limit).offset(offset)
        with self.database.reading() as connection:
            total = connection.scalar(select(func.count()).select_from(jobs).where(*where)) or 0
            return [JobRecord(*row) for row in connection.execute(query)], total

    def maker_of_plan(self, key: str) -> JobRecord | None:
        """The last job that made the plan with that key, if it is remembered."""
        made = jobs.c.kind == "plan", jobs.c.result["plan"].as_string() == key
        query = select(*_COLUMNS).where(*made, jobs.c.state == "done").order_by(jobs.c.id.desc())
        with self.database.reading() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else JobRecord(*row)

    def live(self, kinds: Collection[str] = ()) -> dict[str, str]:
        """State by uuid of all jobs of these kinds that wait or run, the oldest first."""
        query = select(jobs.c.uuid, jobs.c.state).where(_IS_LIVE, *_of(kinds))
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(jobs.c.id))
            return {row.uuid: row.state for row in rows}

    def live_after(self, last: int, kinds: Collection[str]) -> list[Waiting]:
        """Jobs of these kinds that wait or run and came after that one, the oldest first."""
        asked = (jobs.c.request[name].as_string() for name in ("device", "backend"))
        query = select(jobs.c.id, jobs.c.uuid, *asked).where(jobs.c.id > last)
        query = query.where(_IS_LIVE, *_of(kinds)).order_by(jobs.c.id)
        with self.database.reading() as connection:
            return [
                Waiting(id, uuid, device or (f"backend={backend}" if backend else ""))
                for id, uuid, device, backend in connection.execute(query)
            ]

    def live_of(self, uuids: Collection[str]) -> set[str]:
        """Those of these jobs that wait or run."""
        live: set[str] = set()
        with self.database.reading() as connection:
            for some in chunks(uuids):
                query = select(jobs.c.uuid).where(jobs.c.uuid.in_(some), _IS_LIVE)
                live.update(connection.scalars(query))
        return live

    def latest(self, request_keys: Collection[str], since: str) -> dict[str, JobRecord]:
        """The newest job for each of these requests that has one which was live at or after a time,
        by request key."""
        wanted = jobs.c.request_key.in_(request_keys)
        recent = or_(jobs.c.ended_at.is_(None), jobs.c.ended_at >= since)
        query = select(*_COLUMNS).where(wanted, recent).order_by(jobs.c.id)
        with self.database.reading() as connection:
            records = [JobRecord(*row) for row in connection.execute(query)]
        return {record.request_key: record for record in records}

    def on_devices(self) -> dict[str, str]:
        """The running job of each device of the fleet that has one."""
        running = jobs.c.state == "running", jobs.c.device.is_not(None)
        with self.database.reading() as connection:
            query = select(jobs.c.device, jobs.c.uuid).where(*running)
            return {row.device: row.uuid for row in connection.execute(query)}

    def requeue(self, kinds: Collection[str] = ()) -> list[str]:
        """Queue running jobs whose process is gone again, each where it stood; their uuids.
        Another host's processes cannot be seen from here, and a job may well take days."""
        query = select(jobs.c.uuid, jobs.c.owner).where(jobs.c.state == "running", *_of(kinds))
        with self.database.writing() as connection:
            orphans = [
                uuid
                for uuid, owner in connection.execute(query)
                if owner is None or _gone_here(processes.Owner(**owner))
            ]
            statement = update(jobs).where(jobs.c.uuid.in_(orphans))
            connection.execute(statement.values(state="queued", owner=None))
        return orphans

    def prune(self, keep: int) -> int:
        """Forget ended jobs beyond the newest `keep`; how many."""
        ended = select(jobs.c.id).where(jobs.c.state.not_in(LIVE)).order_by(jobs.c.id.desc())
        with self.database.writing() as connection:
            old = list(connection.scalars(ended.offset(keep).limit(500)))
            connection.execute(delete(jobs).where(jobs.c.id.in_(old)))
        return len(old)


def _of(kinds: Collection[str]) -> list[ColumnElement[bool]]:
    """The condition that a job is of these kinds; none where none are named."""
    return [jobs.c.kind.in_(kinds)] if kinds else []


def _one(connection: Connection, uuid: str) -> JobRecord | None:
    row = connection.execute(select(*_COLUMNS).where(jobs.c.uuid == uuid)).first()
    return None if row is None else JobRecord(*row)


def _gone_here(owner: processes.Owner) -> bool:
    return processes.is_here(owner) and processes.is_gone_here(owner)
