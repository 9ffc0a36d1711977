"""Sessions: opened, filled round by round, ended; and ended for processes that were cut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, select, update

from ..errors import StoreError
from ..records import DeviceFingerprint, MeasurementPolicy, PairSummary, Sample
from . import clock, processes
from .database import Database
from .summaries import put_summaries, stale_ids, summarize
from .tables import failures, samples, sessions, workloads
from .workloads import Stored, ids_of, insert_all, intern_device, intern_policy, intern_workloads


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of a store. One that is open knows which process measures it."""

    database: Database
    _own: set[int] = field(default_factory=set)
    """The sessions that were begun here and are not ended."""

    def begin(
        self,
        fingerprint: DeviceFingerprint,
        policy: MeasurementPolicy,
        original: Stored,
        candidates: Sequence[Stored],
        run_metadata: Mapping[str, Any],
        board: str | None = None,
    ) -> int:
        """Open a session of an original and its candidates; its id is for `add_round`. `board` is
        the id of the physical board that measures, None where nobody can say."""
        process = processes.this_process()
        uuid = uuid4().hex
        with self.database.writing(durable=False) as connection:
            ids = intern_workloads(connection, [original, *candidates])
            row = {
                "uuid": uuid,
                "device_id": intern_device(connection, fingerprint),
                "policy_id": intern_policy(connection, policy),
                "original_workload_id": ids[original.key],
                "started_at": clock.now(connection),
                "host": process.host,
                "boot": process.boot,
                "pid": process.pid,
                "process_started": process.started,
                "run_metadata": dict(run_metadata),
                "board": board,
            }
            connection.execute(sessions.insert(), [row])
            query = select(sessions.c.id).where(sessions.c.uuid == uuid)
            session_id = int(connection.scalars(query).one())
        self._own.add(session_id)
        return session_id

    def add_round(self, session_id: int, timed: Sequence[Sample]) -> None:
        """Commit the samples of one round (or more). One that is there already is an error."""
        # Not flushed to the disk, which would disturb the next round; `end` is.
        with self.database.writing(shared=True, durable=False) as connection:
            ids = _known_ids(connection, {sample.workload_key for sample in timed})
            rows = [
                {
                    "session_id": session_id,
                    "workload_id": ids[sample.workload_key],
                    "round": sample.round,
                    "clock": sample.clock,
                    "seconds": sample.seconds,
                    "loops": sample.loops,
                }
                for sample in timed
            ]
            insert_all(connection, samples, rows)

    def end(self, session_id: int, summaries: Mapping[str, PairSummary]) -> None:
        """Close a session with its summaries by candidate key."""
        with self.database.writing() as connection:
            ids = _known_ids(connection, summaries.keys())
            by_id = {ids[key]: summary for key, summary in summaries.items()}
            put_summaries(connection, session_id, by_id)
            close = (
                update(sessions)
                .where(sessions.c.id == session_id)
                .values(ended_at=clock.now(connection))
            )
            connection.execute(close)
        self._own.discard(session_id)

    def end_from_samples(self, session_id: int) -> None:
        """End a session from its samples; one that holds nothing is removed."""
        with self.database.writing() as connection:
            if _is_empty(connection, session_id):
                connection.execute(delete(sessions).where(sessions.c.id == session_id))
                return
            put_summaries(connection, session_id, summarize(connection, session_id))
            still_open = sessions.c.id == session_id, sessions.c.ended_at.is_(None)
            connection.execute(
                update(sessions).where(*still_open).values(ended_at=clock.now(connection))
            )

    def end_own(self) -> None:
        """End from their samples the sessions that were begun here."""
        for session_id in sorted(self._own):
            self.end_from_samples(session_id)
        self._own.clear()

    def recover(self) -> int:
        """End sessions whose process is gone from their samples; returns how many."""
        with self.database.reading() as connection:
            cut_off = cut_off_ids(connection)
        for session_id in cut_off:
            self.end_from_samples(session_id)
        return len(cut_off)

    def resummarize(self) -> int:
        """Summarise anew what another version of the estimator did; returns how many sessions."""
        with self.database.reading() as connection:
            stale = stale_ids(connection)
        for session_id in stale:
            with self.database.writing() as connection:
                put_summaries(connection, session_id, summarize(connection, session_id))
        return len(stale)


def cut_off_ids(connection: Connection) -> list[int]:
    """Return the sessions that were not ended and whose process is gone."""
    c, now_there = sessions.c, clock.now(connection)
    query = select(c.id, c.started_at, c.host, c.boot, c.pid, c.process_started)
    return [
        session_id
        for session_id, started_at, *owner in connection.execute(query.where(c.ended_at.is_(None)))
        if processes.is_gone(processes.Owner(*owner), started_at, now_there)
    ]


def _known_ids(connection: Connection, keys: Set[str]) -> dict[str, int]:
    ids = ids_of(connection, workloads, keys)
    if unknown := set(keys) - ids.keys():
        raise StoreError(f"workload {min(unknown)} belongs to no session; begin one with it first")
    return ids


def _is_empty(connection: Connection, session_id: int) -> bool:
    queries = (
        select(table.c.session_id).where(table.c.session_id == session_id).limit(1)
        for table in (samples, failures)
    )
    return all(connection.scalar(query) is None for query in queries)
