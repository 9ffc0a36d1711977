"""Why workloads have no number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import update

from ..clock import now
from ..records import DeviceFingerprint, Failure, MeasurementPolicy
from .database import Database
from .tables import failures
from .workloads import (
    Stored,
    intern_device,
    intern_policy,
    intern_workloads,
    of_workloads,
    plain,
)


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures of a store; one that is resolved stays as a record."""

    database: Database

    def add(
        self,
        fingerprint: DeviceFingerprint,
        policy: MeasurementPolicy,
        workload: Stored,
        failure: Failure,
        session_id: int | None = None,
    ) -> None:
        """Commit why a workload has no number."""
        with self.database.writing() as connection:
            row = {
                "workload_id": intern_workloads(connection, [workload])[workload.key],
                "device_id": intern_device(connection, fingerprint),
                "policy_id": intern_policy(connection, policy),
                "session_id": session_id,
                "stage": failure.stage,
                "reason": plain(failure.reason),
                "at": now(),
                "resolved": False,
            }
            connection.execute(failures.insert(), [row])

    def latest(
        self, fingerprint: DeviceFingerprint, policy: MeasurementPolicy, keys: Iterable[str]
    ) -> dict[str, Failure]:
        """The latest unresolved failure of each workload that has one."""
        columns = (failures.c.stage, failures.c.reason)
        latest: dict[str, Failure] = {}
        with self.database.reading() as connection:
            for query in of_workloads(failures, columns, fingerprint, policy, keys):
                query = query.where(failures.c.resolved.is_(False))
                rows = connection.execute(query.order_by(failures.c.at, failures.c.id))
                latest.update((key, Failure(key, stage, reason)) for key, stage, reason in rows)
        return latest

    def clear(
        self, fingerprint: DeviceFingerprint, policy: MeasurementPolicy, keys: Iterable[str]
    ) -> int:
        """Let these workloads be tried again; how many failures were marked as resolved."""
        cleared = 0
        with self.database.writing() as connection:
            for query in of_workloads(failures, (), fingerprint, policy, keys):
                ids = query.with_only_columns(failures.c.id)
                unresolved = failures.c.resolved.is_(False), failures.c.id.in_(ids)
                statement = update(failures).where(*unresolved).values(resolved=True)
                cleared += connection.execute(statement).rowcount
        return cleared
