"""Summaries of sessions: written, and computed anew from raw samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from ..records import PairSummary
from .tables import samples, sessions, summaries
from .workloads import insert_all


def put_summaries(
    connection: Connection, session_id: int, by_workload: Mapping[int, PairSummary]
) -> None:
    """Write a session's summaries by workload id, in place of those that are there."""
    from ..stats import ESTIMATOR_VERSION

    connection.execute(delete(summaries).where(summaries.c.session_id == session_id))
    of_session = sessions.c.id == session_id
    query = select(sessions.c.device_id, sessions.c.policy_id).where(of_session)
    device_id, policy_id = connection.execute(query).one()
    rows = [
        {
            "workload_id": workload_id,
            "device_id": device_id,
            "policy_id": policy_id,
            "session_id": session_id,
            "estimator_version": ESTIMATOR_VERSION,
            **summary.to_json(),
        }
        for workload_id, summary in by_workload.items()
    ]
    insert_all(connection, summaries, rows)


def summarize(connection: Connection, session_id: int) -> dict[int, PairSummary]:
    """Return summaries by workload id, from a session's raw samples: rounds in which both the
    original and the candidate were timed, on the clock that counts (as in `profiler.session`)."""
    original_id = connection.scalar(
        select(sessions.c.original_workload_id).where(sessions.c.id == session_id)
    )
    series = _series(connection, session_id)
    original = series.pop(original_id, {})
    by_workload: dict[int, PairSummary] = {}
    for workload_id, clocks in series.items():
        clock = _clock_that_counts(original.keys() & clocks.keys())
        summary = _paired(original.get(clock, {}), clocks.get(clock, {}))
        if summary is not None:
            by_workload[workload_id] = summary
    return by_workload


def stale_ids(connection: Connection) -> list[int]:
    """Return the sessions with samples that another version of the estimator summarised."""
    from ..stats import ESTIMATOR_VERSION

    table = summaries.c
    query = (
        select(table.session_id)
        .where(table.estimator_version != ESTIMATOR_VERSION)
        .where(table.session_id.in_(select(samples.c.session_id)))
        .distinct()
    )
    return list(connection.scalars(query))


def _clock_that_counts(clocks: Collection[str]) -> str:
    """Return the device's own clock where there is one, else the host's."""
    return next((name for name in ("device", "host") if name in clocks), min(clocks, default=""))


def _paired(before: Mapping[int, float], after: Mapping[int, float]) -> PairSummary | None:
    """Return a summary of seconds by round; None where the estimator refuses (too few rounds)."""
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
    """Return seconds by workload id, clock and round."""
    table = samples.c
    query = select(table.workload_id, table.clock, table.round, table.seconds).where(
        table.session_id == session_id
    )
    series: dict[Any, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for workload_id, clock, round_number, seconds in connection.execute(query):
        series[workload_id][clock][round_number] = seconds
    return series
