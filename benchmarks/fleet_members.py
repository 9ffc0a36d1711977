"""Many workers in one process, for `fleet_scale.py`: Dask's own, with planted devices.

What a worker's job would do is played: the attempt begins, the row says done. So all that a
scheduler, a service and a store have to do with them is done, and nothing is timed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from rankwise.db import Store
from rankwise.db.fleet import FleetDevice
from rankwise.fleet import tasks
from rankwise.fleet.resources import of_worker
from rankwise.records import DeviceFingerprint
from rankwise.workflow.fleet_devices import versions

WRITERS = threading.Semaphore(4)


def device(number: int, worker: str) -> FleetDevice:
    """One of twenty kinds, in one of forty labs."""
    hardware = {"chip": f"chip {number % 20}", "cores": "4", "memory_gib": "8"}
    return FleetDevice(
        id=f"{number:012x}",
        host=f"board-{number:04d}",
        worker=worker,
        backend=f"fake:seed={number % 20}",
        fingerprint=DeviceFingerprint.of("fake", hardware, {"driver": "1"}),
        labels=[f"lab-{number % 40}"],
        versions=versions(),
    )


async def run(scheduler: str, db: str, workers: int, devices: int, ready: Path) -> None:
    """Start the workers, register their devices, say that they are there, and stay."""
    from distributed import Worker, get_worker

    store = Store.open(db, create=False)

    def play(request: str) -> str:
        asked, worker = json.loads(request), get_worker()
        job, named = asked["job"], asked["query"].partition("id=")[2]
        with WRITERS:
            attempt = store.jobs.begin_attempt(job, named or firsts[worker.name])
            if attempt is not None and store.jobs.claim(job, attempt):
                store.jobs.update(job, states=("running",), state="done", result={"measured": 1})
        return json.dumps({"worker": worker.contact_address, "ending": "settled"})

    tasks.do_job = play
    firsts = {f"worker-{n}": device(n, "").id for n in range(workers)}
    folder = tempfile.mkdtemp(prefix="rankwise-scale-")
    held = {n: [device(d, "") for d in range(n, devices, workers)] for n in range(workers)}
    started = [
        await Worker(
            scheduler,
            nthreads=1,
            name=f"worker-{number}",
            memory_limit=None,
            dashboard=False,
            host="127.0.0.1",
            local_directory=folder,
            resources=of_worker(held[number]),
        )
        for number in held
    ]
    for number, worker in enumerate(started):
        for one in held[number]:
            store.fleet.register(replace(one, worker=worker.contact_address))
    ready.touch()
    await asyncio.gather(*(worker.finished() for worker in started))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    asyncio.run(run(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), Path(sys.argv[5])))
