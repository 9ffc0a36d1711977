"""Networks, failures and documents of an archive: checked, and added to a store.

Of two that have the same name the newer network and the verified plan stay, and else what the
store has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, delete, insert, select, update

from ..records import Decomposition, canonical_json
from . import networks, tables
from .archive import Reader
from .archive_schema import (
    FailureLine,
    NetworkLine,
    PlanLine,
    SensitivityLine,
    VerificationLine,
    read,
)
from .import_sessions import Ids
from .plans import plan_key
from .sensitivities import sensitivity_key
from .tables import failures, plans, sensitivities, sessions, verifications
from .workloads import ids_of, insert_all, plain


def check(
    reader: Reader, specs: Collection[str], workloads: Collection[str], uuids: Collection[str]
) -> None:
    """Raises `StoreError` where something refers to what the archive does not hold."""
    for network in read(reader, "networks", NetworkLine):
        if any(layer.spec is not None and layer.spec not in specs for layer in network.layers):
            raise reader.refused(f"network {network.sha256[:12]} has a layer that it does not hold")
    for failure in read(reader, "failures", FailureLine):
        if failure.workload not in workloads or failure.session not in (None, *uuids):
            raise reader.refused("a failure names what it does not hold")
    for plan in read(reader, "plans", PlanLine):
        if plan_key(plan.content) != plan.key:
            raise reader.refused(f"plan {plan.key} is not what its key says")
    for line in read(reader, "sensitivities", SensitivityLine):
        if _key_of(line) != line.key:
            raise reader.refused(f"sensitivity {line.key} is not what its key says")
    for _ in read(reader, "verifications", VerificationLine):
        pass


def _key_of(line: SensitivityLine) -> str:
    decomposition = Decomposition.from_json(line.decomposition)
    names = (line.network_sha256, line.calibration_sha256, line.layer)
    return sensitivity_key(*names, decomposition, line.metric)


def add(connection: Connection, reader: Reader, ids: Ids) -> int:
    """Add what is new or newer; return how many rows that were."""
    return (
        _add_networks(connection, read(reader, "networks", NetworkLine), ids)
        + _add_failures(connection, read(reader, "failures", FailureLine), ids)
        + _add_plans(connection, read(reader, "plans", PlanLine))
        + _add_verifications(connection, read(reader, "verifications", VerificationLine))
        + _add_sensitivities(connection, read(reader, "sensitivities", SensitivityLine))
    )


def _add_networks(connection: Connection, lines: Iterable[NetworkLine], ids: Ids) -> int:
    c = tables.networks.c
    ours = dict(connection.execute(select(c.sha256, c.put_at)).all())
    newer = [network for network in lines if network.put_at > ours.get(network.sha256, "")]
    for network in newer:
        layers = (
            {
                "spec_id": None if layer.spec is None else ids.specs[layer.spec],
                **layer.model_dump(exclude={"spec"}),
            }
            for layer in network.layers
        )
        networks.replace(connection, network.model_dump(exclude={"layers"}), layers)
    return len(newer)


def _add_failures(connection: Connection, lines: Iterable[FailureLine], ids: Ids) -> int:
    c = failures.c
    identity = (c.workload_id, c.device_id, c.policy_id, c.session_id, c.stage, c.reason, c.at)
    ours = {
        tuple(row[2:]): (row[0], row[1])
        for row in connection.execute(select(c.id, c.resolved, *identity))
    }
    wanted = list(lines)
    uuids = {failure.session for failure in wanted if failure.session is not None}
    session_ids = ids_of(connection, sessions, uuids, "uuid")
    added = 0
    for failure in wanted:
        row = {
            "workload_id": ids.workloads[failure.workload],
            "device_id": ids.devices[failure.device],
            "policy_id": ids.policies[failure.policy],
            "session_id": None if failure.session is None else session_ids[failure.session],
            "stage": failure.stage,
            "reason": plain(failure.reason),
            "at": failure.at,
        }
        known = ours.get(tuple(row[column.name] for column in identity))
        if known is None:
            connection.execute(insert(failures), [{**row, "resolved": failure.resolved}])
        elif failure.resolved and not known[1]:
            connection.execute(update(failures).where(c.id == known[0]).values(resolved=True))
        added += known is None
    return added


def _add_plans(connection: Connection, lines: Iterable[PlanLine]) -> int:
    ours = dict(connection.execute(select(plans.c.key, plans.c.json)).all())
    added = 0
    for plan in lines:
        known = ours.get(plan.key)
        if known is not None and (known.get("verified") or not plan.content.get("verified")):
            continue
        connection.execute(delete(plans).where(plans.c.key == plan.key))
        row = {**plan.model_dump(exclude={"content"}), "json": plan.content}
        connection.execute(insert(plans), [row])
        added += 1
    return added


def _add_verifications(connection: Connection, lines: Iterable[VerificationLine]) -> int:
    c = verifications.c
    rows = connection.execute(select(c.plan_key, c.at, c.json))
    ours = {(key, at, canonical_json(document)) for key, at, document in rows}
    new = [
        {"plan_key": line.plan_key, "at": line.at, "json": line.content}
        for line in lines
        if (line.plan_key, line.at, canonical_json(line.content)) not in ours
    ]
    return insert_all(connection, verifications, new)


def _add_sensitivities(connection: Connection, lines: Iterable[SensitivityLine]) -> int:
    ours = set(connection.scalars(select(sensitivities.c.key)))
    new = [line.model_dump() for line in lines if line.key not in ours]
    return insert_all(connection, sensitivities, new)
