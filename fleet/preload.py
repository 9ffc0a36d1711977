"""Makes any Dask worker one of the fleet: `dask worker tcp://HOST:8786 --nthreads 1 --preload
rankwise.fleet.preload --backend torch-cuda:device=0 --label lab-a`.

So whatever starts Dask workers (dask-jobqueue on SLURM, dask-kubernetes, a systemd unit) starts
workers of a fleet. The store is named by RANKWISE_DB, because others see a process's arguments.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..db.url import locate
from ..errors import RankwiseError
from ..jobs.attendant import HANG_AFTER_S
from ..records import content_key
from . import membership
from .member import Place, open_member
from .security import require_loopback

log = logging.getLogger("rankwise.fleet")


def default_folder(db: str) -> Path:
    """Where a worker of that store's fleet keeps networks and pictures: one place for all workers
    of a user on a machine, so that a file comes once."""
    shown = locate(db).engine_url.set(password=None).render_as_string()
    return Path.home() / ".cache" / "rankwise" / "fleet" / content_key(shown)[:8]


@click.command()
@click.option("--backend", "backends", multiple=True)
@click.option("--label", "labels", multiple=True)
@click.option("--host-name", default=None)
@click.option("--folder", type=click.Path(path_type=Path), default=None)
@click.option("--hang-after", type=float, default=HANG_AFTER_S)
@click.option("--db", envvar="RANKWISE_DB", required=True)
async def dask_setup(
    worker: Any,
    backends: tuple[str, ...],
    labels: tuple[str, ...],
    host_name: str | None,
    folder: Path | None,
    hang_after: float,
    db: str,
) -> None:
    """Dask calls this before the worker comes to its scheduler, and waits for it: another job may
    be timing on this machine."""
    _speak()
    try:
        if not worker.security.require_encryption:
            require_loopback(worker.scheduler.address)
            require_loopback(worker.listener.listen_address)
    except RankwiseError as error:
        log.error("this worker cannot join the fleet: %s", error)
        raise
    named = {} if host_name is None else {"host": host_name}
    place = Place(backends, labels, hang_after_s=hang_after, **named)
    opened = partial(open_member, place, db, folder or default_folder(db))
    await membership.join(worker, opened)


def _speak() -> None:
    """Say what is done here, too, where Dask says what it does."""
    ours = logging.getLogger("rankwise")
    if not ours.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)


def dask_teardown(_worker: Any) -> None:
    """Dask calls this before the worker ends: the job that runs ends first."""
    membership.leave()
