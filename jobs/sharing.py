"""Profiles that devices of one kind share: a job whose parts are jobs, for whichever is free.

The job itself does nothing: it says how far its parts are, and has their results in the end.
Nothing is kept of it but its row: the parts are found by what they ask for, so that a service that
was restarted goes on, and a part that was asked for twice is one job.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .. import documents
from ..campaign.parts import PER_DEVICE, Part
from ..db.jobs import JobRecord
from ..db.store import Store
from ..errors import RankwiseError, UsageError
from ..options.device_query import DeviceQuery
from ..workflow.fleet_devices import fits, may_measure, versions
from . import queue
from .requests import REQUESTS

log = logging.getLogger("rankwise.fleet")

SHARED = "shared_profile"
EVERY_S = 1.0


class Sharer(threading.Thread):
    """The thread that asks for the parts of shared profiles; `wake` tells who does them."""

    running: str | None = None
    """Nothing is done on this machine."""

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        super().__init__(name="sharer", daemon=True)
        self.store, self._told = store, wake
        self._parts: dict[str, list[JobRecord]] = {}
        self._wake, self._stopping = threading.Event(), threading.Event()

    def wake(self) -> None:
        """A job was queued or cancelled."""
        self._wake.set()

    def stop(self) -> None:
        """End. Parts go on, and the next service finds them."""
        self._stopping.set()
        self._wake.set()
        self.join(5.0)

    def run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self.step()
            except RankwiseError as error:  # the store is away
                log.error("shared profiles have to wait: %s", error)
            self._wake.wait(EVERY_S)

    def step(self) -> None:
        """Ask for parts that nobody has asked for, and say how far each shared profile is."""
        live = self.store.jobs.live((SHARED,))
        for uuid in [uuid for uuid in self._parts if uuid not in live]:
            self._left(uuid, self._parts.pop(uuid))
        for uuid in live:
            record = self.store.jobs.get(uuid)
            if record is not None and record.live:
                self._attend(record)

    def _left(self, uuid: str, parts: Sequence[JobRecord]) -> None:
        """A shared profile that somebody cancelled takes its parts with it."""
        record = self.store.jobs.get(uuid)
        if record is None or record.state == "cancelled":
            for part in parts:
                queue.cancel(self.store, part.uuid)
            self._told()

    def _attend(self, record: JobRecord) -> None:
        try:
            parts = self._parts_of(record)
        except UsageError as error:
            self.store.jobs.update(record.uuid, state="failed", error=str(error))
            return
        self._parts[record.uuid] = parts
        states = Counter(part.state for part in parts)
        self.store.jobs.update(record.uuid, state="running", progress=progress_of(parts))
        if not any(part.live for part in parts):
            errors = [part.error for part in parts if part.state != "done"]
            self._end(record.uuid, parts, states["done"], errors)

    def _end(self, uuid: str, parts: Sequence[JobRecord], done: int, errors: Sequence[str]) -> None:
        if errors:
            error = f"{len(parts) - done} of {len(parts)} parts were not done: {errors[0]}"
            self.store.jobs.update(uuid, state="failed", error=error)
            return
        result = merged([documents.Profile.model_validate(part.result) for part in parts])
        self.store.jobs.update(uuid, state="done", result=result.model_dump(mode="json"))

    def _parts_of(self, record: JobRecord) -> list[JobRecord]:
        """The newest job of each part since this one was asked for; new ones for those that have
        none. Raises `UsageError` if the devices are not of one kind."""
        requests = self._requests(record)
        asked = [queue.new_job("profile", request) for request in requests]
        known = self.store.jobs.latest([one.request_key for one in asked], record.created_at)
        parts = [known.get(one.request_key) or self.store.jobs.put(one) for one in asked]
        if len(known) < len(parts):
            self._told()
        return parts

    def _requests(self, record: JobRecord) -> list[Any]:
        count = record.progress.get("total")
        query = DeviceQuery.parse(record.request.get("device") or "", "device")
        devices, own = self.store.fleet.all()[0], versions()
        able = [one for one in devices if fits(query, one) and may_measure(one, own)]
        if not able:
            raise UsageError(f"no device that fits {query} may measure: see devices --fleet")
        keys = {device.hardware_key for device in able}
        if len(keys) > 1:
            raise UsageError(
                f"devices that share a profile are of one kind, and {query} fits {len(keys)}: add "
                f"hardware={min(keys)}, or another of {', '.join(sorted(keys))}"
            )
        total = int(count) if count else PER_DEVICE * len(able)
        device = str(replace(query, hardware=keys.pop()))
        parts = (str(Part(number, total)) for number in range(1, total + 1))
        asked = ({**record.request, "device": device, "part": part} for part in parts)
        return [REQUESTS["profile"].model_validate(one) for one in asked]


def progress_of(parts: Sequence[JobRecord]) -> dict[str, Any]:
    """How far all parts are together, as a job's progress."""
    states = Counter(part.state for part in parts)
    done = sum(_share(part) for part in parts)
    counts = ", ".join(f"{states[state]} {state}" for state in sorted(states))
    return {"done": done, "total": len(parts), "text": f"parts: {counts}"}


def _share(part: JobRecord) -> float:
    if not part.live:
        return 1.0
    total = part.progress.get("total") or 0.0
    return float(part.progress.get("done") or 0.0) / total if total else 0.0


def merged(parts: Sequence[documents.Profile]) -> documents.Profile:
    """One document of all parts. What stands of the whole network is what the last one saw; parts
    that run side by side see less of each other, so that is the one with the most verdicts."""
    last = max(parts, key=lambda part: sum(part.verdicts.values()))
    counted = ("specs", "candidates", "measured", "already_measured", "stale", "samples", "failed")
    sums = {name: sum(getattr(part, name) for part in parts) for name in counted}
    return last.model_copy(
        update={
            **sums,
            "part": None,
            "staircases": [one for part in parts for one in part.staircases],
            "elapsed_s": sum(part.elapsed_s for part in parts),
            "complete": all(part.complete for part in parts),
        }
    )
