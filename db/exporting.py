"""A store's content as an archive: all but jobs, which belong to the processes that do them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, func, or_, select

from ..records import PairSummary
from . import tables
from .archive import Writer
from .archive_schema import SESSION_COLUMNS
from .schema import REVISIONS
from .tables import pruned, samples, sessions, summaries
from .workloads import chunks

SESSIONS_AT_ONCE = 200
NUMBERS = tuple(PairSummary.__dataclass_fields__)
Document = dict[str, Any]


def export(connection: Connection, writer: Writer) -> dict[str, int]:
    """Write everything, within one snapshot; return how many of each there were. Sessions that are
    not ended are left out, and counted as `open_sessions`."""
    keys = _Keys(connection)
    members = {
        **_tables(connection, VALUES),
        "workloads": _workloads(connection, keys),
        "networks": _networks(connection, keys),
        "sessions": _sessions(connection, keys),
        "failures": _failures(connection, keys),
        **_tables(connection, DOCUMENTS),
    }
    counts = {name: writer.lines(name, rows) for name, rows in members.items()}
    writer.finish(REVISIONS[-1])
    open_sessions = select(func.count()).select_from(sessions).where(sessions.c.ended_at.is_(None))
    return {**counts, "open_sessions": connection.scalar(open_sessions) or 0}


VALUES = dict.fromkeys(("specs", "devices", "policies"), ("key", "json"))
DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    "plans": ("key", "created_at", "network_sha256", "json"),
    "verifications": ("plan_key", "json", "at"),
    "sensitivities": (
        *("key", "network_sha256", "calibration_sha256", "layer", "decomposition", "metric"),
        *("value", "upper", "put_at"),
    ),
}
"""Tables whose rows are exported column by column."""


class _Keys:
    """Content keys by id: ids are a store's own, keys are everybody's."""

    def __init__(self, connection: Connection) -> None:
        def of(table: Table) -> dict[int, str]:
            rows = connection.execute(select(table.c.id, table.c.key))
            return dict(rows.all())

        self.specs, self.workloads = of(tables.specs), of(tables.workloads)
        self.devices, self.policies = of(tables.devices), of(tables.policies)


def _tables(
    connection: Connection, columns: Mapping[str, tuple[str, ...]]
) -> dict[str, Iterator[Document]]:
    known = tables.metadata.tables
    return {name: _columns(connection, known[name], names) for name, names in columns.items()}


def _columns(connection: Connection, table: Table, names: Sequence[str]) -> Iterator[Document]:
    order = table.c.id if "id" in table.c else table.c[names[0]]
    query = select(*(table.c[name] for name in names)).order_by(order)
    for row in connection.execute(query):
        yield dict(zip(names, row, strict=True))


def _workloads(connection: Connection, keys: _Keys) -> Iterator[Document]:
    names = ("key", "kind", "decomposition", "description", "spec_id")
    for row in _columns(connection, tables.workloads, names):
        spec_id = row.pop("spec_id")
        yield {**row, "spec": keys.specs.get(spec_id)}


def _networks(connection: Connection, keys: _Keys) -> Iterator[Document]:
    names = ("id", "sha256", "source", "input_shape", "put_at")
    layers = tables.network_layers
    for row in _columns(connection, tables.networks, names):
        query = select(layers.c.name, layers.c.op, layers.c.spec_id, layers.c.reason)
        query = query.where(layers.c.network_id == row.pop("id")).order_by(layers.c.position)
        uses = [
            {"name": name, "op": op, "spec": keys.specs.get(spec_id), "reason": reason}
            for name, op, spec_id, reason in connection.execute(query)
        ]
        yield {**row, "layers": uses}


def _failures(connection: Connection, keys: _Keys) -> Iterator[Document]:
    table = tables.failures
    query = select(table, sessions.c.uuid).outerjoin_from(table, sessions).order_by(table.c.id)
    # one of a session that is left out comes with it, another time
    query = query.where(or_(table.c.session_id.is_(None), sessions.c.ended_at.is_not(None)))
    for row in connection.execute(query).mappings():
        yield {
            "workload": keys.workloads[row["workload_id"]],
            "device": keys.devices[row["device_id"]],
            "policy": keys.policies[row["policy_id"]],
            "session": row["uuid"],
            **{name: row[name] for name in ("stage", "reason", "at", "resolved")},
        }


def _sessions(connection: Connection, keys: _Keys) -> Iterator[Document]:
    """Yield one line a session, with its samples as columns and its summaries."""
    ended = select(sessions.c.id).where(sessions.c.ended_at.is_not(None)).order_by(sessions.c.id)
    for ids in chunks(list(connection.scalars(ended)), SESSIONS_AT_ONCE):
        series = _series(connection, ids, keys)
        summarized = _summaries(connection, ids, keys)
        dropped = _pruned(connection, ids)
        query = select(sessions).where(sessions.c.id.in_(ids)).order_by(sessions.c.id)
        for row in connection.execute(query).mappings():
            session_id = row["id"]
            yield {
                **{name: row[name] for name in SESSION_COLUMNS},
                "device": keys.devices[row["device_id"]],
                "policy": keys.policies[row["policy_id"]],
                "original": keys.workloads[row["original_workload_id"]],
                "series": series.get(session_id, []),
                "summaries": summarized.get(session_id, []),
                "pruned": dropped.get(session_id),
            }


def _series(connection: Connection, ids: Sequence[int], keys: _Keys) -> dict[int, list[Document]]:
    c = samples.c
    query = select(c.session_id, c.workload_id, c.clock, c.round, c.seconds, c.loops)
    query = query.where(c.session_id.in_(ids))
    query = query.order_by(c.session_id, c.workload_id, c.clock, c.round)
    by_session: dict[int, list[Document]] = {}
    for (session_id, workload_id, clock), rows in groupby(
        connection.execute(query), itemgetter(0, 1, 2)
    ):
        _, _, _, rounds, seconds, loops = zip(*rows, strict=True)
        series = {
            "workload": keys.workloads[workload_id],
            "clock": clock,
            "rounds": rounds,
            "seconds": seconds,
            "loops": loops,
        }
        by_session.setdefault(session_id, []).append(series)
    return by_session


def _summaries(
    connection: Connection, ids: Sequence[int], keys: _Keys
) -> dict[int, list[Document]]:
    c = summaries.c
    names = ("estimator_version", *NUMBERS)
    query = select(c.session_id, c.workload_id, *(c[name] for name in names))
    query = query.where(c.session_id.in_(ids)).order_by(c.session_id, c.workload_id)
    by_session: dict[int, list[Document]] = {}
    for session_id, workload_id, *values in connection.execute(query):
        summary = {"workload": keys.workloads[workload_id], **dict(zip(names, values, strict=True))}
        by_session.setdefault(session_id, []).append(summary)
    return by_session


def _pruned(connection: Connection, ids: Sequence[int]) -> dict[int, Document]:
    query = select(pruned).where(pruned.c.session_id.in_(ids))
    return {
        row["session_id"]: {"samples": row["samples"], "at": row["at"]}
        for row in connection.execute(query).mappings()
    }
