"""Writing measurements: sessions, rounds, failures; and ending sessions that were cut off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, func, select, update

from ..errors import StoreError
from ..records import DeviceFingerprint, Failure, MeasurementPolicy, PairSummary, Sample
from . import processes
from .tables import devices, failures, policies, samples, sessions, summaries, workloads
from .workloads import (
    Stored,
    chunks,
    ids_of,
    intern_device,
    intern_policy,
    intern_workloads,
    now,
    plain,
)


def begin(
    connection: Connection,
    fingerprint: DeviceFingerprint,
    policy: MeasurementPolicy,
    original: Stored,
    candidates: Sequence[Stored],
    circumstances: Mapping[str, Any],
) -> int:
    """Open a session of an original and its candidates; returns its id."""
    ids = intern_workloads(connection, [original, *candidates])
    owner = processes.this_process()
    row = {
        "uuid": uuid4().hex,
        "device_id": intern_device(connection, fingerprint),
        "policy_id": intern_policy(connection, policy),
        "original_workload_id": ids[original.key],
        "started_at": now(),
        "host": owner.host,
        "boot": owner.boot,
        "pid": owner.pid,
        "process_started": owner.started,
        "circumstances": dict(circumstances),
    }
    connection.execute(sessions.insert(), [row])
    query = select(sessions.c.id).where(sessions.c.uuid == row["uuid"])
    return int(connection.scalars(query).one())


def add_round(connection: Connection, session_id: int, round_samples: Sequence[Sample]) -> None:
    """Store samples as they are. A sample that is there already is an error."""
    keys = {sample.workload_key for sample in round_samples}
    ids = _known_ids(connection, keys)
    rows = [
        {
            "session_id": session_id,
            "workload_id": ids[sample.workload_key],
            "round": sample.round,
            "clock": sample.clock,
            "seconds": sample.seconds,
            "loops": sample.loops,
        }
        for sample in round_samples
    ]
    if rows:
        connection.execute(samples.insert(), rows)


def _known_ids(connection: Connection, keys: Iterable[str]) -> dict[str, int]:
    wanted = set(keys)
    ids = ids_of(connection, workloads, wanted)
    if unknown := wanted - ids.keys():
        raise StoreError(f"workload {min(unknown)} belongs to no session; begin one with it first")
    return ids


def add_failure(
    connection: Connection,
    fingerprint: DeviceFingerprint,
    policy: MeasurementPolicy,
    workload: Stored,
    failure: Failure,
    session_id: int | None,
) -> None:
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


def clear_failures(
    connection: Connection,
    fingerprint: DeviceFingerprint,
    policy: MeasurementPolicy,
    keys: Iterable[str],
) -> int:
    """Mark failures as resolved (they stay as records); returns how many."""
    cleared = 0
    for chunk in chunks(set(keys)):
        table = failures.c
        one_of = select(workloads.c.id).where(workloads.c.key.in_(chunk))
        device = select(devices.c.id).where(devices.c.key == fingerprint.key)
        rule = select(policies.c.id).where(policies.c.key == policy.key)
        statement = (
            update(failures)
            .where(table.resolved.is_(False), table.workload_id.in_(one_of))
            .where(table.device_id.in_(device), table.policy_id.in_(rule))
            .values(resolved=True)
        )
        cleared += connection.execute(statement).rowcount
    return cleared


def failed(
    connection: Connection,
    fingerprint: DeviceFingerprint,
    policy: MeasurementPolicy,
    keys: Iterable[str],
) -> dict[str, Failure]:
    """The latest unresolved failure of each workload that has one."""
    found: dict[str, Failure] = {}
    joined = failures.join(workloads, failures.c.workload_id == workloads.c.id)
    joined = joined.join(devices, failures.c.device_id == devices.c.id)
    joined = joined.join(policies, failures.c.policy_id == policies.c.id)
    for chunk in chunks(set(keys)):
        query = (
            select(workloads.c.key, failures.c.stage, failures.c.reason)
            .select_from(joined)
            .where(workloads.c.key.in_(chunk), failures.c.resolved.is_(False))
            .where(devices.c.key == fingerprint.key, policies.c.key == policy.key)
            .order_by(failures.c.at, failures.c.id)
        )
        rows = connection.execute(query)
        found.update((key, Failure(key, stage, reason)) for key, stage, reason in rows)
    return found


def done(
    connection: Connection,
    fingerprint: DeviceFingerprint,
    policy: MeasurementPolicy,
    keys: Iterable[str],
) -> dict[str, int]:
    """How many sessions have a summary of each candidate (those with none are left out)."""
    counts: dict[str, int] = {}
    joined = summaries.join(workloads, summaries.c.workload_id == workloads.c.id)
    joined = joined.join(devices, summaries.c.device_id == devices.c.id)
    joined = joined.join(policies, summaries.c.policy_id == policies.c.id)
    for chunk in chunks(set(keys)):
        query = (
            select(workloads.c.key, func.count())
            .select_from(joined)
            .where(workloads.c.key.in_(chunk))
            .where(devices.c.key == fingerprint.key, policies.c.key == policy.key)
            .group_by(workloads.c.key)
        )
        counts.update((key, count) for key, count in connection.execute(query))
    return counts


def end(connection: Connection, session_id: int, found: Mapping[str, PairSummary]) -> None:
    """Close a session with its summaries by candidate key."""
    ids = _known_ids(connection, found)
    put_summaries(connection, session_id, {ids[key]: value for key, value in found.items()})
    close = update(sessions).where(sessions.c.id == session_id).values(ended_at=now())
    connection.execute(close)


def put_summaries(
    connection: Connection, session_id: int, found: Mapping[int, PairSummary]
) -> None:
    from ..stats import ESTIMATOR_VERSION

    connection.execute(delete(summaries).where(summaries.c.session_id == session_id))
    place = select(sessions.c.device_id, sessions.c.policy_id).where(sessions.c.id == session_id)
    device_id, policy_id = connection.execute(place).one()
    rows = [
        {
            "workload_id": workload_id,
            "device_id": device_id,
            "policy_id": policy_id,
            "session_id": session_id,
            "estimator_version": ESTIMATOR_VERSION,
            **summary.to_json(),
        }
        for workload_id, summary in found.items()
    ]
    if rows:
        connection.execute(summaries.insert(), rows)


def summarize(connection: Connection, session_id: int) -> dict[int, PairSummary]:
    """Summaries by workload id, from a session's raw samples: rounds in which both the
    original and the candidate were timed, on the clock that counts (as in `profiler.session`)."""
    original_id = connection.scalar(
        select(sessions.c.original_workload_id).where(sessions.c.id == session_id)
    )
    series = _series(connection, session_id)
    original = series.pop(original_id, {})
    found: dict[int, PairSummary] = {}
    for workload_id, clocks in series.items():
        clock = _clock_that_counts(original.keys() & clocks.keys())
        summary = _paired(original.get(clock, {}), clocks.get(clock, {}))
        if summary is not None:
            found[workload_id] = summary
    return found


def _clock_that_counts(clocks: Collection[str]) -> str:
    """The device's own where there is one, else the host's."""
    return next((name for name in ("device", "host") if name in clocks), min(clocks, default=""))


def _paired(before: Mapping[int, float], after: Mapping[int, float]) -> PairSummary | None:
    """From seconds by round; None where the estimator refuses (too few rounds)."""
    import numpy as np

    from ..stats import summarize_pairs

    rounds = sorted(before.keys() & after.keys())
    try:
        return summarize_pairs(
            np.array([before[r] for r in rounds]), np.array([after[r] for r in rounds])
        )
    except ValueError:
        return None


def _series(connection: Connection, session_id: int) -> dict[Any, dict[str, dict[int, float]]]:
    """Seconds by workload id, clock and round."""
    table = samples.c
    query = select(table.workload_id, table.clock, table.round, table.seconds).where(
        table.session_id == session_id
    )
    series: dict[Any, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for workload_id, clock, round_number, seconds in connection.execute(query):
        series[workload_id][clock][round_number] = seconds
    return series


def open_ids(connection: Connection) -> list[int]:
    """Sessions that were not ended and whose process is gone."""
    c = sessions.c
    query = select(c.id, c.started_at, c.host, c.boot, c.pid, c.process_started)
    return [
        session_id
        for session_id, started_at, *owner in connection.execute(query.where(c.ended_at.is_(None)))
        if processes.is_gone(processes.Owner(*owner), started_at)
    ]


def recover(connection: Connection, session_id: int) -> None:
    """End a session that was cut off, from its samples. One that holds nothing is removed."""
    if _is_empty(connection, session_id):
        connection.execute(delete(sessions).where(sessions.c.id == session_id))
        return
    put_summaries(connection, session_id, summarize(connection, session_id))
    close = update(sessions).where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))
    connection.execute(close.values(ended_at=now()))


def _is_empty(connection: Connection, session_id: int) -> bool:
    queries = (
        select(table.c.session_id).where(table.c.session_id == session_id).limit(1)
        for table in (samples, failures)
    )
    return all(connection.scalar(query) is None for query in queries)


def stale_ids(connection: Connection) -> list[int]:
    """Sessions summarised by another version of the estimator whose samples are there."""
    from ..stats import ESTIMATOR_VERSION

    table = summaries.c
    query = (
        select(table.session_id)
        .where(table.estimator_version != ESTIMATOR_VERSION)
        .where(table.session_id.in_(select(samples.c.session_id)))
        .distinct()
    )
    return list(connection.scalars(query))
