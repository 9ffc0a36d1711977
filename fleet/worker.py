"""`rankwise worker`: a Dask worker of the fleet under a nanny, which starts it anew if it dies.

Dask's own worker ends when it loses its scheduler. This one begins again and waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from ..db.url import locate
from ..errors import UsageError
from ..jobs.attendant import HANG_AFTER_S
from .security import is_loopback, security_for

log = logging.getLogger("rankwise.fleet")
PRELOAD = f"{__package__}.preload"
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `rankwise worker` was told. `db` may hold a password."""

    scheduler: str
    db: str = field(repr=False)
    backends: Sequence[str]
    labels: Sequence[str] = ()
    host_name: str | None = None
    folder: Path | None = None
    hang_after_s: float = HANG_AFTER_S

    @property
    def preload_words(self) -> list[str]:
        """The same for `preload`; the store goes through the environment."""
        words = [f"--hang-after={self.hang_after_s}"]
        words += [f"--backend={backend}" for backend in self.backends]
        words += [f"--label={label}" for label in self.labels]
        words += [] if self.host_name is None else [f"--host-name={self.host_name}"]
        return words + ([] if self.folder is None else [f"--folder={self.folder}"])


def run(settings: WorkerSettings) -> None:
    """Work until the process is told to end. Raises `UsageError` for a scheduler that is not safe,
    and for a store that no service with other machines has."""
    security = security_for(settings.scheduler)
    require_server(settings.db)
    os.environ["RANKWISE_DB"] = settings.db
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with TemporaryDirectory(prefix="rankwise-worker-") as scratch:
        asyncio.run(_work(settings, security, scratch))


async def _work(settings: WorkerSettings, security: Any, scratch: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    while not stopping.is_set():
        nanny = _nanny(settings, security, scratch)
        await _first_of(_until_finished(nanny), stopping.wait())
        await nanny.close()
        if not stopping.is_set():
            log.info("the scheduler at %s was lost; waiting for it", settings.scheduler)
            await _first_of(asyncio.sleep(PAUSE_S), stopping.wait())


async def _until_finished(nanny: Any) -> None:
    await nanny
    await nanny.finished()


async def _first_of(*coroutines: Any) -> None:
    """Wait for the first; the others are cancelled. An error of the first is only told: the worker
    begins again."""
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
    for task in done:
        if (error := task.exception()) is not None:
            log.error("the worker ended: %s", error)


def _nanny(settings: WorkerSettings, security: Any, scratch: str) -> Any:
    """One thread, because a worker does one thing at a time; no limit of memory, because a job's
    processes have one of their own; on loopback only where the scheduler is."""
    from distributed import Nanny

    own = urlsplit(settings.scheduler).hostname or ""
    return Nanny(
        settings.scheduler,
        nthreads=1,
        memory_limit=None,
        local_directory=scratch,
        preload=[PRELOAD],
        preload_argv=settings.preload_words,
        security=security,
        dashboard=False,
        host="127.0.0.1" if is_loopback(own) else None,
    )


def require_server(db: str) -> None:
    """Raise `UsageError` for a store that is a file of one machine."""
    if locate(db).is_sqlite:
        raise UsageError(
            "workers on other machines cannot reach an SQLite file: give a fleet PostgreSQL, "
            "--db postgresql://USER@HOST/NAME, or use `rankwise serve --cluster local`"
        )
