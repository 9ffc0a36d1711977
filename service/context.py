"""What the routes share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from .. import documents
from ..errors import UsageError
from ..fleet import checks as fleet_checks
from ..fleet.dispatcher import Dispatcher
from ..jobs import queue
from ..jobs.artifacts import ArtifactStore, NetworkEntry
from ..jobs.describe_network import describe_apart
from ..jobs.requests import JobKind
from ..jobs.requests import Request as Asked
from .models import Job, Problem
from .scheduler import RunsJobs
from .security import Sessions
from .settings import Settings
from .tables import Query, Tables

PRUNE_EVERY_S = 60.0

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (400, "Not a request that can be read"),
        (401, "No token, or a wrong one"),
        (403, "Sent by another site"),
        (404, "Nothing there"),
        (409, "Not possible in this state"),
        (413, "Too large"),
        (421, "Not a name of this service"),
        (422, "Wrong use, in one sentence"),
        (429, "Too much at once"),
        (503, "The store does not answer at the moment"),
    )
}


HTML_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": refusal["description"],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, refusal in REFUSALS.items()
}
"""For routes that answer with HTML: what they refuse, they refuse as JSON."""


@dataclass
class Context:
    """One running service."""

    settings: Settings
    store: Any
    artifacts: ArtifactStore
    scheduler: RunsJobs
    tables: Tables
    sessions: Sessions
    fleet: Dispatcher | None = None
    """Who speaks with the fleet, if the service has one."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    receiving: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Uploads are checked one after the other."""
    listeners: int = 0
    pruned_at: float = float("-inf")

    def submit(self, kind: JobKind, request: Asked) -> tuple[Job, bool]:
        """Raises what becomes 422 or 429."""
        fleet_checks.check(self.store, request, self.fleet is not None)
        try:
            record, new = queue.submit(
                self.store, self.artifacts, kind, request, self.settings.queue.waiting
            )
        except queue.TooManyJobs as error:
            raise HTTPException(429, str(error)) from None
        self.scheduler.wake()
        self._prune()
        return Job.of(record), new

    def _prune(self) -> None:
        """Forget old jobs, now and then: to find the first of them all others are counted."""
        if time.monotonic() - self.pruned_at > PRUNE_EVERY_S:
            self.pruned_at = time.monotonic()
            while self.store.jobs.prune(self.settings.queue.kept):
                pass

    def network(self, network_id: str) -> NetworkEntry:
        """Raises 404."""
        with missing_is_404():
            return self.artifacts.network(network_id)

    def described(self, network_id: str, *, graph: bool = False) -> NetworkEntry:
        """A zoo network is read, once, when it is asked for; so is the graph of a network that
        an earlier version has described. Raises 404."""
        entry = self.network(network_id)
        if entry.layers is None or (graph and entry.graph is None):
            entry = describe_apart(entry, self.artifacts.folder)
            self.artifacts.put(entry)
        return entry

    def plan(self, key: str) -> documents.Plan:
        """The plan with its latest verification. Raises 404."""
        document = self.store.plans.get(key)
        if document is None:
            raise HTTPException(404, "there is no such plan")
        return self.with_verification(key, document)

    def with_verification(self, key: str, document: dict[str, Any]) -> documents.Plan:
        latest = next(iter(self.verifications(key)), None)
        return documents.Plan.model_validate({**document, "verified": latest})

    def verifications(self, key: str) -> list[documents.Verification]:
        """Verifications of a plan, the newest first."""
        known = documents.Verification.model_fields
        return [
            documents.Verification.model_validate({k: v for k, v in one.items() if k in known})
            for one in reversed(self.store.plans.verifications(key))
        ]

    def table_of(self, sha256: str | None, **wanted: str | None) -> documents.Table:
        """Empty if nothing of that network was measured."""
        if sha256 is not None and not self.measured(sha256):
            return documents.Table(rows=[], failures=[])
        return self.tables.document(Query(network=sha256, **wanted))

    def measured(self, sha256: str) -> bool:
        return sha256 in self.measured_networks()

    def measured_networks(self) -> set[str]:
        """SHA-256 of each network of which something was measured."""
        return {sha256 for sha256, _, _ in self.store.networks.all()}

    def names(self) -> dict[str, str]:
        """What users call networks, by SHA-256."""
        return {entry.sha256: entry.name for entry in self.artifacts.networks() if entry.sha256}


@contextmanager
def missing_is_404() -> Iterator[None]:
    """Answer 404 where the artifacts have no such thing."""
    try:
        yield
    except UsageError as error:
        raise HTTPException(404, str(error)) from None


def context_of(request: Request) -> Context:
    """The running service that a request came to."""
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(context_of)]
