"""Reading measurements: summaries joined to what they are of, as plain records.

Speed is part of the contract (a table of one network out of a million samples in a second):
the one large query fetches numbers and ids only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, func, select, true

from ..records import (
    DeviceFingerprint,
    Failure,
    Measurement,
    MeasurementPolicy,
    PairSummary,
    Sample,
)
from .database import Database
from .measurement_values import (
    EVERYTHING,
    Ids,
    Known,
    MeasurementFilter,
    known_values,
    one_of,
    rows_of,
)
from .raw_samples import raw_samples
from .tables import (
    devices,
    failures,
    network_layers,
    networks,
    sensitivities,
    sessions,
    summaries,
    workloads,
)
from .workloads import CHUNK, of_workloads

_NUMBERS = tuple(summaries.c[name.name] for name in fields(PairSummary))


@dataclass(slots=True)
class _Entry:
    """What is stored of one measurement, in the order of its sessions."""

    summaries: list[PairSummary] = field(default_factory=list)
    boards: list[str | None] = field(default_factory=list)
    at: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Measurements:
    """What a store knows of candidates and of whole networks."""

    database: Database

    def find(self, wanted: MeasurementFilter = EVERYTHING) -> list[Measurement]:
        """Measurements of candidates in the network's order of layers, then by decomposition
        and device.

        `layers` of a measurement are the names that share its spec, in the network that was
        asked for or else in all networks. A failure is a measurement without summaries: one
        that is unresolved hides numbers, so that what crashed once is not offered as a
        candidate.
        """
        with self.database.reading() as connection:
            return _select(connection, wanted)

    def summaries(
        self, fingerprint: DeviceFingerprint, policy: MeasurementPolicy, keys: Iterable[str]
    ) -> dict[str, tuple[PairSummary, ...]]:
        """Summaries by workload key, in the order of sessions; of whole networks, too, which
        have no layer spec."""
        by_key: dict[str, tuple[PairSummary, ...]] = {}
        with self.database.reading() as connection:
            for query in of_workloads(summaries, _NUMBERS, fingerprint, policy, keys):
                for key, *numbers in connection.execute(query.order_by(summaries.c.session_id)):
                    by_key[key] = (*by_key.get(key, ()), PairSummary(*numbers))
        return by_key

    def session_counts(
        self,
        fingerprint: DeviceFingerprint,
        policy: MeasurementPolicy,
        keys: Iterable[str],
        board: str | None = None,
    ) -> dict[str, int]:
        """How many sessions have a summary of each candidate (those with none are left out), on
        any board or on one of them."""
        counts: dict[str, int] = {}
        on_board = select(sessions.c.id).where(sessions.c.board == board)
        with self.database.reading() as connection:
            for query in of_workloads(summaries, (func.count(),), fingerprint, policy, keys):
                if board is not None:
                    query = query.where(summaries.c.session_id.in_(on_board))
                rows = connection.execute(query.group_by(workloads.c.key))
                counts.update((key, count) for key, count in rows)
        return counts

    def hosts_of(self, board: str | None) -> list[str]:
        """The machines on which a board has measured: hosts may be renamed, and boards moved."""
        of_board = sessions.c.board.is_(None) if board is None else sessions.c.board == board
        query = select(sessions.c.host).where(of_board).distinct().order_by(sessions.c.host)
        with self.database.reading() as connection:
            return list(connection.scalars(query))

    def devices_of(self, network_sha: str) -> list[DeviceFingerprint]:
        """The devices on which layers of a network were measured, the latest first."""
        of_network = (
            select(workloads.c.id)
            .join(network_layers, network_layers.c.spec_id == workloads.c.spec_id)
            .join(networks, networks.c.id == network_layers.c.network_id)
            .where(networks.c.sha256 == network_sha)
        )
        latest = (
            select(sessions.c.device_id, func.max(sessions.c.id).label("session"))
            .where(sessions.c.original_workload_id.in_(of_network))
            .group_by(sessions.c.device_id)
            .subquery()
        )
        query = (
            select(devices.c.json)
            .join(latest, latest.c.device_id == devices.c.id)
            .order_by(latest.c.session.desc())
        )
        with self.database.reading() as connection:
            return [DeviceFingerprint.from_json(json) for json in connection.scalars(query)]

    def samples(self, measurement_id: str) -> list[tuple[str, tuple[Sample, ...]]]:
        """Raw samples behind a measurement, of the candidate and of the original that it was
        paired with: one entry (the session's uuid, samples in the order of rounds) a session."""
        with self.database.reading() as connection:
            return raw_samples(connection, measurement_id)

    def stamp(self) -> str:
        """A text that changes whenever a speedup table may have changed: with every ended
        session, failure and network. Reads small tables only: it is asked before each table
        that is served from memory."""
        done = sessions.c.ended_at
        ended = select(func.count(), func.max(done)).where(done.is_not(None))
        resolved = func.count().filter(failures.c.resolved)
        failed = select(func.count(), func.max(failures.c.at), resolved)
        known = select(func.count(), func.max(networks.c.put_at))
        errors = select(func.max(sensitivities.c.put_at))
        with self.database.reading() as connection:
            rows = [connection.execute(query).one() for query in (ended, failed, known, errors)]
        return "|".join(str(value) for row in rows for value in row)


def _select(connection: Connection, wanted: MeasurementFilter) -> list[Measurement]:
    known = known_values(connection, wanted)
    entries = _entries(connection, known)
    rank = {spec_id: position for position, spec_id in enumerate(known.specs)}

    def order(item: tuple[Ids, _Entry]) -> tuple[Any, ...]:
        workload_id, device_id, policy_id = item[0]
        _, spec_id, of = known.workloads[workload_id]
        return (rank[spec_id], of.kind, of.ranks, of.groups, device_id, policy_id)

    return [_measurement(known, *item) for item in sorted(entries.items(), key=order)]


def _measurement(known: Known, ids: Ids, entry: _Entry) -> Measurement:
    workload_id, device_id, policy_id = ids
    _, spec_id, decomposition = known.workloads[workload_id]
    spec, names = known.specs[spec_id]
    return Measurement(
        id=known.id_of(ids),
        spec=spec,
        decomposition=decomposition,
        fingerprint=known.devices[device_id][1],
        policy=known.policies[policy_id][1],
        summaries=() if entry.failure else tuple(entry.summaries),
        measured_at=entry.at,
        failure=entry.failure,
        layers=names,
        boards=() if entry.failure else tuple(entry.boards),
    )


def _entries(connection: Connection, known: Known) -> dict[Ids, _Entry]:
    entries: dict[Ids, _Entry] = defaultdict(_Entry)
    for ids, rows in groupby(
        rows_of(connection, known, _summary_query(known)), itemgetter(0, 1, 2)
    ):
        entry = entries[ids]
        for row in rows:
            entry.summaries.append(PairSummary(*row[5:]))
            entry.boards.append(row[4])
            entry.at = max(entry.at, row[3])
    for workload_id, device_id, policy_id, at, stage, reason in rows_of(
        connection, known, _failure_query(known)
    ):
        entry = entries[workload_id, device_id, policy_id]
        entry.failure = Failure(known.workloads[workload_id][0], stage, reason)
        entry.at = at
    return entries


def _summary_query(known: Known) -> Select[Any]:
    table = summaries.c
    columns = (table.workload_id, table.device_id, table.policy_id)
    return (
        select(*columns, sessions.c.ended_at, sessions.c.board, *_NUMBERS)
        .select_from(summaries.join(sessions, table.session_id == sessions.c.id))
        .where(_of_specs(table.workload_id, known), one_of(table.device_id, known.devices))
        .order_by(*(summaries.primary_key.columns))  # as they lie there: nothing is sorted
    )


def _failure_query(known: Known) -> Select[Any]:
    table = failures.c
    columns = (table.workload_id, table.device_id, table.policy_id, table.at)
    # by time, not by id: the same in every store, whatever was imported first
    query = select(*columns, table.stage, table.reason).order_by(table.at, table.id)
    return query.where(table.resolved.is_(False), _of_specs(table.workload_id, known))


def _of_specs(column: Column[Any], known: Known) -> ColumnElement[bool]:
    if len(known.specs) > CHUNK:
        return true()
    return column.in_(select(workloads.c.id).where(workloads.c.spec_id.in_(known.specs)))
