"""The store: everything that was measured, in one database, behind plain records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from ..records import (
    DeviceFingerprint,
    Failure,
    LayerUse,
    Measurement,
    MeasurementPolicy,
    PairSummary,
    Sample,
)
from . import measurements, networks, raw_samples, schema, sessions
from .repositories import Keeping
from .url import locate
from .workloads import NetworkRun, Stored

__all__ = ["Filters", "NetworkRun", "Store", "upgrade"]


def upgrade(url: str) -> str:
    """Bring a database to the current schema; says in one sentence what was done.

    An SQLite file is first copied to `<name>.backup-<old schema>`. Raises `StoreError`.
    """
    version, backup, changed = schema.upgrade(url)
    name = locate(url).name
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


class Store(Keeping):
    """One database. Every method is a transaction: it happened as a whole, or not at all.

    A method that writes returns after its commit; what it wrote then survives `kill -9`.
    Readers never wait for the writer; writers wait for each other (`busy_timeout_s`).
    Methods raise `StoreError`. Safe to use from several threads. `Keeping` has the methods
    for documents, jobs and cached arrays, and those that look after the store.
    """

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
        with self._writing(durable=False) as connection:
            session_id = sessions.begin(
                connection, fingerprint, policy, original, candidates, circumstances
            )
        self._own_sessions.add(session_id)
        return session_id

    def add_round(self, session_id: int, samples: Sequence[Sample]) -> None:
        """Commit the samples of one round (or more)."""
        # Not flushed to the disk, which would disturb the next round; `end_session` is.
        with self._writing(shared=True, durable=False) as connection:
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
            return raw_samples.raw_samples(connection, measurement_id)

    def _close_sessions(self) -> None:
        for session_id in sorted(self._own_sessions):
            self._recover(session_id)
        self._own_sessions.clear()

    def _recover(self, session_id: int) -> None:
        with self._writing() as connection:
            sessions.recover(connection, session_id)
