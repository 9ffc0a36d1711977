"""The fronts that a store knows: of `pareto`, and of jobs that a service has done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from .. import documents
from ..db.plans import plan_key
from ..db.store import Store

ASKED = ("threads", "batch")
"""What a front's policy says of how it was asked for."""


@dataclass(frozen=True, slots=True)
class KnownFront:
    """A front under its content key. `asked` is what a plan takes over from it: the backend,
    threads and batch; what a job was asked for, where it was one."""

    key: str
    made_at: str
    asked: Mapping[str, Any]
    front: documents.Pareto


def known_fronts(store: Store, network_sha256: str | None = None) -> list[KnownFront]:
    """Return the fronts of a network, or of all, the newest first."""
    found: dict[str, KnownFront] = {}
    for one in [*_stored(store), *_of_jobs(store)]:  # of a job more is known than of what it stored
        if network_sha256 in (None, one.front.model.sha256):
            found[one.key] = one
    return sorted(found.values(), key=attrgetter("made_at"), reverse=True)


def latest_front(store: Store, network_sha256: str) -> documents.Pareto | None:
    """Return the front that was worked out last for a network."""
    known = known_fronts(store, network_sha256)
    return known[0].front if known else None


def _stored(store: Store) -> Iterator[KnownFront]:
    for key, made_at, document in store.plans.fronts():
        front = documents.Pareto.model_validate(document)
        asked = {name: front.policy[name] for name in ASKED if name in front.policy}
        yield KnownFront(key, made_at, {"backend": front.device.backend, **asked}, front)


def _of_jobs(store: Store) -> Iterator[KnownFront]:
    """Yield those that are documents of today's kind, the oldest first."""
    done, _ = store.jobs.page(kinds=("front",), states=("done",), limit=1000)
    for record in reversed(done):
        if record.result and documents.Pareto.describes(record.result):
            front = documents.Pareto.model_validate(dict(record.result))
            key = plan_key(front.model_dump(mode="json"))
            yield KnownFront(key, record.ended_at or "", record.request, front)
