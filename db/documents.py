"""Documents that the store keeps whole: plans, verifications, calibrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from ..records import content_key
from .tables import calibrations, plans, verifications
from .workloads import now

Json = dict[str, Any]


def plan_key(document: Mapping[str, Any]) -> str:
    """A plan's key: of all that it says but what was verified, which is written later."""
    return content_key({name: value for name, value in document.items() if name != "verified"})


def put_plan(connection: Connection, document: Mapping[str, Any]) -> str:
    key = plan_key(document)
    row = {
        "key": key,
        "created_at": str(document.get("created_at") or now()),
        "network_sha256": str(document["model"]["sha256"]),
        "json": dict(document),
    }
    # The same plan again, perhaps with a verification: the newer text is kept.
    connection.execute(delete(plans).where(plans.c.key == key))
    connection.execute(plans.insert(), [row])
    return key


def plan(connection: Connection, key: str) -> Json | None:
    found: Json | None = connection.scalar(select(plans.c.json).where(plans.c.key == key))
    return found


def plans_of(connection: Connection, network_sha256: str | None) -> list[tuple[str, Json]]:
    """(key, document), the newest first."""
    query = select(plans.c.key, plans.c.json).order_by(plans.c.created_at.desc(), plans.c.id.desc())
    if network_sha256 is not None:
        query = query.where(plans.c.network_sha256 == network_sha256)
    return [(key, document) for key, document in connection.execute(query)]


def put_verification(connection: Connection, key: str, document: Mapping[str, Any]) -> None:
    row = {"plan_key": key, "json": dict(document), "at": now()}
    connection.execute(verifications.insert(), [row])


def verifications_of(connection: Connection, key: str) -> list[Json]:
    """All verifications of a plan, oldest first."""
    query = select(verifications.c.json).where(verifications.c.plan_key == key)
    return list(connection.scalars(query.order_by(verifications.c.id)))


def put_calibration(connection: Connection, sha256: str, document: Mapping[str, Any]) -> None:
    connection.execute(delete(calibrations).where(calibrations.c.sha256 == sha256))
    connection.execute(calibrations.insert(), [{"sha256": sha256, "json": dict(document)}])


def calibration(connection: Connection, sha256: str) -> Json | None:
    query = select(calibrations.c.json).where(calibrations.c.sha256 == sha256)
    found: Json | None = connection.scalar(query)
    return found
