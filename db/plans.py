"""Plans, their verifications, and fronts of plans: documents that the store keeps whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select

from ..clock import now
from ..records import content_key
from .database import Database
from .tables import plans, verifications

Json = dict[str, Any]
FRONT = "rankwise.pareto"
"""The kind of documents in the table of plans that are no plans, but fronts of them."""


def plan_key(document: Mapping[str, Any]) -> str:
    """The content key of all that a plan says but what was verified, which is written later."""
    return content_key({name: value for name, value in document.items() if name != "verified"})


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of a store, by key."""

    database: Database

    def put(self, document: Mapping[str, Any]) -> str:
        """Store a plan or a front; returns its key, which a verification that is written into it
        leaves alone."""
        key = plan_key(document)
        row = {
            "key": key,
            "created_at": str(document.get("created_at") or now()),
            "network_sha256": str(document["model"]["sha256"]),
            "json": dict(document),
        }
        with self.database.writing() as connection:
            # The same plan again, perhaps with a verification: the newer text is kept.
            connection.execute(delete(plans).where(plans.c.key == key))
            connection.execute(plans.insert(), [row])
        return key

    def get(self, key: str) -> Json | None:
        """The plan with this key, if there is one."""
        query = select(plans.c.json).where(plans.c.key == key)
        with self.database.reading() as connection:
            document: Json | None = connection.scalar(query)
        return None if document is None or _is_front(document) else document

    def all(self, network_sha256: str | None = None) -> list[tuple[str, Json]]:
        """(key, document) of the plans of a network, or of all; the newest first."""
        query = select(plans.c.key, plans.c.json)
        if network_sha256 is not None:
            query = query.where(plans.c.network_sha256 == network_sha256)
        query = query.order_by(plans.c.created_at.desc(), plans.c.id.desc())
        with self.database.reading() as connection:
            found = [(key, document) for key, document in connection.execute(query)]
        return [(key, document) for key, document in found if not _is_front(document)]

    def fronts(self) -> list[tuple[str, str, Json]]:
        """(key, when it was made, document) of the fronts of all networks."""
        query = select(plans.c.key, plans.c.created_at, plans.c.json)
        with self.database.reading() as connection:
            found = [tuple(row) for row in connection.execute(query.order_by(plans.c.id))]
        return [(key, made_at, front) for key, made_at, front in found if _is_front(front)]

    def add_verification(self, key: str, document: Mapping[str, Any]) -> None:
        """Add what verifying a plan measured."""
        row = {"plan_key": key, "json": dict(document), "at": now()}
        with self.database.writing() as connection:
            connection.execute(verifications.insert(), [row])

    def verifications(self, key: str) -> list[Json]:
        """All verifications of a plan, oldest first."""
        query = select(verifications.c.json).where(verifications.c.plan_key == key)
        with self.database.reading() as connection:
            return list(connection.scalars(query.order_by(verifications.c.id)))


def _is_front(document: Mapping[str, Any]) -> bool:
    return document.get("kind") == FRONT
