"""A process that does a job writes only while the job is its own.

Each attempt at a job has a number, higher than those before it: its fencing token. Once the job's
row has another, whoever still works for the old attempt (a machine that was cut off, a process
that nobody could reach) is refused by every transaction that writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import URL, Connection, select

from ..errors import StoreError
from .tables import jobs
from .url import locate


class Superseded(StoreError):
    """Another attempt at this process's job has begun."""


@dataclass(frozen=True, slots=True)
class Fence:
    """The attempt that this process works for, in the store where the job's row is."""

    store: URL
    uuid: str
    attempt: int


_held: list[Fence] = []
"""At most one: a process does one job."""


@contextmanager
def fenced(db: str, uuid: str, attempt: int) -> Iterator[None]:
    """Let this process write to that store only as long as the job's attempt is this one."""
    _held.append(Fence(locate(db).engine_url, uuid, attempt))
    try:
        yield
    finally:
        _held.pop()


def check(connection: Connection, store: URL) -> None:
    """Raise `Superseded` if this process works for an attempt that is over."""
    for fence in _held:
        if fence.store != store:
            continue
        attempt = connection.scalar(select(jobs.c.attempt).where(jobs.c.uuid == fence.uuid))
        if attempt != fence.attempt:
            raise Superseded(
                f"attempt {fence.attempt} at job {fence.uuid} is over: another one has begun"
            )
