"""The one membership of this process: a Dask worker, and what it is in the fleet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ..errors import RankwiseError
from .member import Member

log = logging.getLogger("rankwise.fleet")
RETRY_S = 3.0
_joined: list[tuple[Any, Member]] = []
"""The worker and its membership; at most one."""


def member() -> Member:
    """This process's membership. Raises `LookupError` in a process that has none."""
    return _joined[-1][1]


def address() -> str:
    """Of this process's worker."""
    return _address_of(_joined[-1][0])


def _address_of(worker: Any) -> str:
    """Where others reach it. Dask notes a contact address only after the worker was set up."""
    return str(worker.contact_address or worker.address)


def offer() -> None:
    """Tell the scheduler what this worker holds now; from any thread."""
    worker, joined = _joined[-1]
    worker.loop.add_callback(worker.set_resources, **joined.resources)


async def join(worker: Any, opened: Callable[[], Member]) -> None:
    """Open the store, register the devices as soon as nothing is timed on this machine, and hold
    them as resources. Whatever fails is tried again: the store may be away.

    Dask looks for tasks that wait for a resource when a worker comes, not when one that is there
    gets it: so this happens before the worker comes.
    """
    while True:
        try:
            joining = await asyncio.to_thread(opened)
            _joined.append((worker, joining))
            await asyncio.to_thread(joining.register, _address_of(worker))
            break
        except (RankwiseError, OSError) as error:
            log.error("this worker offers nothing yet: %s", error)
            leave()
            await asyncio.sleep(RETRY_S)
    for held in (worker.state.total_resources, worker.state.available_resources):
        held.update(joining.resources)
    log.info("this worker offers %s", ", ".join(sorted(joining.resources)))


def leave() -> None:
    """End what this process does for the fleet."""
    while _joined:
        _joined.pop()[1].close()
