"""Networks, failures and documents of an archive: checked, and added to a store.

Of two that have the same name the newer network and the verified plan stay, and else what the
store has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from ..records import Decomposition, canonical_json
from . import archive_schema, networks, tables
from .archive import Reader
from .archive_schema import read
from .curves import Cache, sensitivity_key
from .documents import plan_key
from .import_sessions import Ids, session_ids
from .tables import failures, plans
from .workloads import plain


def check(
    reader: Reader, specs: Collection[str], workloads: Collection[str], uuids: Collection[str]
) -> None:
    """Raises `StoreError` where something refers to what the archive does not hold."""
    for network in read(reader, "networks", archive_schema.NetworkLine):
        if any(layer.spec is not None and layer.spec not in specs for layer in network.layers):
            raise reader.refused(f"network {network.sha256[:12]} has a layer that it does not hold")
    for failure in read(reader, "failures", archive_schema.FailureLine):
        if failure.workload not in workloads or failure.session not in (None, *uuids):
            raise reader.refused("a failure names what it does not hold")
    for plan in read(reader, "plans", archive_schema.PlanLine):
        if plan_key(plan.content) != plan.key:
            raise reader.refused(f"plan {plan.key} is not what its key says")
    for found in read(reader, "sensitivities", archive_schema.SensitivityLine):
        if _sensitivity_key(found) != found.key:
            raise reader.refused(f"sensitivity {found.key} is not what its key says")
    for name, kind in (
        ("verifications", archive_schema.VerificationLine),
        ("calibrations", archive_schema.CalibrationLine),
        ("error_curves", archive_schema.CurveLine),
    ):
        for _ in read(reader, name, kind):
            pass


def _sensitivity_key(found: archive_schema.SensitivityLine) -> str:
    way = Decomposition.from_json(found.decomposition)
    place = (found.network_sha256, found.calibration_sha256, found.layer)
    return sensitivity_key(*place, way, found.metric)


def add(connection: Connection, reader: Reader, ids: Ids, cache: Cache) -> int:
    """Returns how many rows are new or newer."""
    return sum(
        (
            _add_networks(connection, read(reader, "networks", archive_schema.NetworkLine), ids),
            _add_failures(connection, read(reader, "failures", archive_schema.FailureLine), ids),
            _add_plans(connection, read(reader, "plans", archive_schema.PlanLine)),
            _add_verifications(
                connection, read(reader, "verifications", archive_schema.VerificationLine)
            ),
            _add_calibrations(
                connection, read(reader, "calibrations", archive_schema.CalibrationLine)
            ),
            _add_sensitivities(
                connection, read(reader, "sensitivities", archive_schema.SensitivityLine)
            ),
            _add_curves(connection, reader, cache),
        )
    )


def _add_networks(
    connection: Connection, found: Iterable[archive_schema.NetworkLine], ids: Ids
) -> int:
    table, layers = tables.networks, tables.network_layers
    ours = {
        sha: (row_id, at)
        for row_id, sha, at in connection.execute(
            select(table.c.id, table.c.sha256, table.c.put_at)
        )
    }
    added = 0
    for network in found:
        network_id, put_at = ours.get(network.sha256, (None, ""))
        if network.put_at <= put_at:
            continue
        row = network.model_dump(exclude={"layers"})
        if network_id is None:
            connection.execute(insert(table), [row])
            network_id = networks.id_of(connection, network.sha256)
        else:
            connection.execute(update(table).where(table.c.id == network_id).values(**row))
        connection.execute(delete(layers).where(layers.c.network_id == network_id))
        rows = [
            {
                "network_id": network_id,
                "position": position,
                "spec_id": None if layer.spec is None else ids.specs[layer.spec],
                **layer.model_dump(exclude={"spec"}),
            }
            for position, layer in enumerate(network.layers)
        ]
        if rows:
            connection.execute(insert(layers), rows)
        added += 1
    return added


def _add_failures(
    connection: Connection, found: Iterable[archive_schema.FailureLine], ids: Ids
) -> int:
    c = failures.c
    place = (c.workload_id, c.device_id, c.policy_id, c.session_id, c.stage, c.reason, c.at)
    ours = {
        tuple(row[2:]): (row[0], row[1])
        for row in connection.execute(select(c.id, c.resolved, *place))
    }
    wanted = list(found)
    sessions = session_ids(connection, {f.session for f in wanted if f.session is not None})
    added = 0
    for failure in wanted:
        row = {
            "workload_id": ids.workloads[failure.workload],
            "device_id": ids.devices[failure.device],
            "policy_id": ids.policies[failure.policy],
            "session_id": None if failure.session is None else sessions[failure.session],
            "stage": failure.stage,
            "reason": plain(failure.reason),
            "at": failure.at,
        }
        known = ours.get(tuple(row[column.name] for column in place))
        if known is None:
            connection.execute(insert(failures), [{**row, "resolved": failure.resolved}])
        elif failure.resolved and not known[1]:
            connection.execute(update(failures).where(c.id == known[0]).values(resolved=True))
        added += known is None
    return added


def _add_plans(connection: Connection, found: Iterable[archive_schema.PlanLine]) -> int:
    ours = dict(connection.execute(select(plans.c.key, plans.c.json)).all())
    added = 0
    for plan in found:
        known = ours.get(plan.key)
        if known is not None and (known.get("verified") or not plan.content.get("verified")):
            continue
        connection.execute(delete(plans).where(plans.c.key == plan.key))
        row = {**plan.model_dump(exclude={"content"}), "json": plan.content}
        connection.execute(insert(plans), [row])
        added += 1
    return added


def _add_verifications(
    connection: Connection, found: Iterable[archive_schema.VerificationLine]
) -> int:
    table = tables.verifications
    query = select(table.c.plan_key, table.c.at, table.c.json)
    ours = {(key, at, canonical_json(document)) for key, at, document in connection.execute(query)}
    rows = [
        {"plan_key": v.plan_key, "at": v.at, "json": v.content}
        for v in found
        if (v.plan_key, v.at, canonical_json(v.content)) not in ours
    ]
    return _insert(connection, table, rows)


def _add_calibrations(
    connection: Connection, found: Iterable[archive_schema.CalibrationLine]
) -> int:
    ours = _stored(connection, tables.calibrations, "sha256")
    rows = [{"sha256": c.sha256, "json": c.content} for c in found if c.sha256 not in ours]
    return _insert(connection, tables.calibrations, rows)


def _add_sensitivities(
    connection: Connection, found: Iterable[archive_schema.SensitivityLine]
) -> int:
    ours = _stored(connection, tables.sensitivities, "key")
    rows = [s.model_dump() for s in found if s.key not in ours]
    return _insert(connection, tables.sensitivities, rows)


def _add_curves(connection: Connection, reader: Reader, cache: Cache) -> int:
    """A curve whose arrays did not come along is computed again where it is needed."""
    ours = _stored(connection, tables.error_curves, "key")
    rows = []
    for curve in read(reader, "error_curves", archive_schema.CurveLine):
        data = reader.arrays(curve.sha256) if curve.key not in ours else None
        if data is not None:
            cache.put(data)
            rows.append(curve.model_dump())
    return _insert(connection, tables.error_curves, rows)


def _stored(connection: Connection, table: Table, column: str) -> set[str]:
    return set(connection.scalars(select(table.c[column])))


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    if rows:
        connection.execute(insert(table), rows)
    return len(rows)
