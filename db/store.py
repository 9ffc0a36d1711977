"""The store: everything that was measured, in one database, behind plain records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from sqlalchemy import Connection, Engine

from ..errors import StoreError
from ..records import (
    DeviceFingerprint,
    Failure,
    LayerUse,
    Measurement,
    MeasurementPolicy,
    PairSummary,
    Sample,
)
from . import checks, documents, engine, jobs, measurements, networks, schema, sessions, traces
from .workloads import NetworkRun, Stored

__all__ = ["Filters", "NetworkRun", "Store", "upgrade"]


def upgrade(url: str) -> str:
    """Bring a database to the current schema; says in one sentence what was done.

    An SQLite file is first copied to `<name>.backup-<old schema>`. Raises `StoreError`.
    """
    version, backup, changed = schema.upgrade(url)
    name = engine.locate(url).name
    if not changed:
        return f"{name} is up to date (schema {version})"
    kept = f"; as it was before, it is kept in {backup}" if backup else ""
    return f"{name} was upgraded to schema {version}{kept}"


class Filters(TypedDict, total=False):
    """The filters of `Store.measurements`; `layer` is a name, or a pattern as `layer3.*`."""

    network_sha: str | None
    backend: str | None
    hardware_key: str | None
    phase: str | None
    layer: str | None
    spec_keys: Collection[str] | None
    fingerprint_key: str | None
    policy_key: str | None


class Store:
    """One database. Every method is a transaction: it happened as a whole, or not at all.

    A method that writes returns after its commit; what it wrote then survives `kill -9`.
    Readers never wait for the writer; writers wait for each other (`busy_timeout_s`).
    Methods raise `StoreError`. Safe to use from several threads.
    """

    def __init__(self, place: engine.Place, opened: Engine, *, readonly: bool) -> None:
        self._place = place
        self._engine = opened
        self._readonly = readonly
        self._own_sessions: set[int] = set()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = True,
        readonly: bool = False,
        busy_timeout_s: float = engine.BUSY_TIMEOUT_S,
    ) -> Self:
        """Open, and if there is none create, the database at a URL or path.

        `readonly` opens what cannot be written, too. Raises `StoreError` with one sentence.
        """
        place = engine.locate(url)
        engine.require_usable(place, create=create, readonly=readonly)
        create = create and not readonly
        opened = engine.make_engine(
            place, create=create, readonly=readonly, busy_timeout_s=busy_timeout_s
        )
        try:
            schema.prepare(opened, place, create=create)
        except BaseException:
            opened.dispose()
            raise
        return cls(place, opened, readonly=readonly)

    def close(self) -> None:
        """Close. Sessions that were begun here and not ended are ended from their samples."""
        with suppress(StoreError):  # else the next profile's `recover_sessions` does it
            for session_id in sorted(self._own_sessions):
                self._recover(session_id)
        self._own_sessions.clear()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Networks

    def put_network(
        self, sha256: str, source: str, input_shape: Sequence[int], uses: Sequence[LayerUse]
    ) -> None:
        """Store a network's inventory of layers, or replace it."""
        with self._writing() as connection:
            networks.put(connection, sha256, source, input_shape, uses)

    def networks(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """(sha256, source, input shape with batch), the one put last first."""
        with self._reading() as connection:
            return networks.listed(connection)

    def layer_uses(self, sha256: str) -> tuple[LayerUse, ...]:
        """A network's layers in its order."""
        with self._reading() as connection:
            return networks.layer_uses(connection, sha256)

    def find_network(self, text: str) -> str | None:
        """The hash of the network with this source, or whose hash begins with this text."""
        with self._reading() as connection:
            return networks.find(connection, text)

    # Measuring

    def sessions_done(
        self, fingerprint: DeviceFingerprint, policy: MeasurementPolicy, keys: Iterable[str]
    ) -> dict[str, int]:
        """How many ended sessions have a summary of each candidate; 0 is left out."""
        with self._reading() as connection:
            return sessions.done(connection, fingerprint, policy, keys)

    def failed(
        self, fingerprint: DeviceFingerprint, policy: MeasurementPolicy, keys: Iterable[str]
    ) -> dict[str, Failure]:
        """The latest unresolved failure of each workload that has one."""
        with self._reading() as connection:
            return sessions.failed(connection, fingerprint, policy, keys)

    def begin_session(
        self,
        fingerprint: DeviceFingerprint,
        policy: MeasurementPolicy,
        original: Stored,
        candidates: Sequence[Stored],
        circumstances: Mapping[str, Any],
    ) -> int:
        """Open a session of an original and its candidates; its id is for `add_round`."""
        with self._writing() as connection:
            session_id = sessions.begin(
                connection, fingerprint, policy, original, candidates, circumstances
            )
        self._own_sessions.add(session_id)
        return session_id

    def add_round(self, session_id: int, samples: Sequence[Sample]) -> None:
        """Commit the samples of one round (or more)."""
        with self._writing() as connection:
            sessions.add_round(connection, session_id, samples)

    def add_failure(
        self,
        fingerprint: DeviceFingerprint,
        policy: MeasurementPolicy,
        workload: Stored,
        failure: Failure,
        session_id: int | None = None,
    ) -> None:
        """Commit why a workload has no number."""
        with self._writing() as connection:
            sessions.add_failure(connection, fingerprint, policy, workload, failure, session_id)

    def clear_failures(
        self, fingerprint: DeviceFingerprint, policy: MeasurementPolicy, keys: Iterable[str]
    ) -> int:
        """Let these be tried again; returns how many failures were marked as resolved."""
        with self._writing() as connection:
            return sessions.clear_failures(connection, fingerprint, policy, keys)

    def end_session(self, session_id: int, summaries: Mapping[str, PairSummary]) -> None:
        """Close a session with its summaries by candidate key."""
        with self._writing() as connection:
            sessions.end(connection, session_id, summaries)
        self._own_sessions.discard(session_id)

    def recover_sessions(self) -> int:
        """End sessions whose process is gone from their samples; returns how many."""
        with self._reading() as connection:
            cut_off = sessions.open_ids(connection)
        for session_id in cut_off:
            self._recover(session_id)
        return len(cut_off)

    def resummarize(self) -> int:
        """Summarise anew what another version of the estimator did; returns how many sessions."""
        with self._reading() as connection:
            stale = sessions.stale_ids(connection)
        for session_id in stale:
            with self._writing() as connection:
                found = sessions.summarize(connection, session_id)
                sessions.put_summaries(connection, session_id, found)
        return len(stale)

    # Reading measurements

    def measurements(self, **wanted: Unpack[Filters]) -> list[Measurement]:
        """What is known of candidates; each filter that is left out takes all.

        `layers` of a measurement are the names that share its spec, in the network that was
        asked for or else in all networks. A failure is a measurement without summaries.
        """
        with self._reading() as connection:
            return measurements.select_measurements(connection, measurements.Wanted(**wanted))

    def run_summaries(
        self, fingerprint: DeviceFingerprint, policy: MeasurementPolicy, keys: Collection[str]
    ) -> dict[str, tuple[PairSummary, ...]]:
        """Summaries by workload key; for whole-network runs, which have no layer spec."""
        with self._reading() as connection:
            return measurements.run_summaries(connection, keys, fingerprint.key, policy.key)

    def samples(self, measurement_id: str) -> list[tuple[str, tuple[Sample, ...]]]:
        """Raw samples behind a measurement, of the candidate and its original: one entry
        (the session's uuid, samples in the order of rounds) for each session."""
        with self._reading() as connection:
            return traces.raw_samples(connection, measurement_id)

    # Documents

    def put_plan(self, document: Mapping[str, Any]) -> str:
        """Store a plan; returns its key, which a verification written into it leaves alone."""
        with self._writing() as connection:
            return documents.put_plan(connection, document)

    def plan(self, key: str) -> dict[str, Any] | None:
        with self._reading() as connection:
            return documents.plan(connection, key)

    def put_verification(self, plan_key: str, document: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            documents.put_verification(connection, plan_key, document)

    def verifications(self, plan_key: str) -> list[dict[str, Any]]:
        with self._reading() as connection:
            return documents.verifications_of(connection, plan_key)

    def put_calibration(self, sha256: str, document: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            documents.put_calibration(connection, sha256, document)

    def calibration(self, sha256: str) -> dict[str, Any] | None:
        with self._reading() as connection:
            return documents.calibration(connection, sha256)

    def plans(self, network_sha256: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        """(key, plan), the one made last first."""
        with self._reading() as connection:
            return documents.listed_plans(connection, network_sha256)

    # Jobs

    def put_job(self, record: jobs.JobRecord) -> jobs.JobRecord:
        """Queue a job; the live one with the same request, if there is one, comes back instead."""
        with self._writing() as connection:
            return jobs.put(connection, record)

    def claim_job(self, uuid: str | None = None) -> jobs.JobRecord | None:
        """Make this process run a queued job (that one, or the oldest); None if there is none."""
        with self._writing() as connection:
            return jobs.claim(connection, uuid)

    def update_job(self, uuid: str, *, states: Collection[str] = jobs.LIVE, **values: Any) -> bool:
        """Set columns of a job if it is in one of these states; whether it was."""
        with self._writing() as connection:
            return jobs.change(connection, uuid, values, states)

    def job(self, uuid: str) -> jobs.JobRecord | None:
        with self._reading() as connection:
            return jobs.one(connection, uuid)

    def jobs(
        self,
        *,
        kinds: Collection[str] = (),
        states: Collection[str] = (),
        limit: int = 100,
        offset: int = 0,
        oldest_first: bool = False,
    ) -> tuple[list[jobs.JobRecord], int]:
        """A page of the jobs that fit, newest first, and how many fit in all."""
        with self._reading() as connection:
            return jobs.listed(
                connection,
                kinds=kinds,
                states=states,
                limit=limit,
                offset=offset,
                oldest_first=oldest_first,
            )

    def requeue_jobs(self) -> list[str]:
        """Queue running jobs whose process is gone again; their uuids."""
        with self._writing() as connection:
            return jobs.requeue_orphans(connection)

    def prune_jobs(self, keep: int) -> int:
        """Forget ended jobs beyond the newest `keep`; how many."""
        with self._writing() as connection:
            return jobs.prune(connection, keep)

    def table_stamp(self) -> str:
        """Changes whenever a speedup table may have changed; much cheaper than the table."""
        with self._reading() as connection:
            return measurements.stamp(connection)

    def check(self) -> list[str]:
        """One sentence for each thing that is wrong with the database."""
        with self._reading() as connection:
            return checks.check(connection)

    def _recover(self, session_id: int) -> None:
        with self._writing() as connection:
            sessions.recover(connection, session_id)

    def _reading(self) -> AbstractContextManager[Connection]:
        return engine.reading(self._engine, self._place)

    def _writing(self) -> AbstractContextManager[Connection]:
        if self._readonly and self._place.writable:
            raise StoreError(f"{self._place.name} was opened for reading only; open it for writing")
        if self._readonly:
            raise engine.read_only(self._place)
        return engine.writing(self._engine, self._place)
