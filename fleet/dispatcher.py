"""Gives queued jobs to a cluster, and sees to it that each is done.

A job is a row of the store and a task of Dask. The row is the truth: whatever is live in the store
and not known to the scheduler (which was restarted, as this service may have been) is submitted
again. That a job may so be done twice changes nothing: what it measures is kept under its content,
and of two attempts only the later one may write.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future as Sending
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from ..db.store import Store
from ..errors import RankwiseError, StoreError, UsageError
from ..jobs.artifacts import ArtifactStore
from ..options.device_query import DeviceQuery
from ..workflow.fleet_devices import versions
from . import tasks
from .backlog import Backlog
from .cluster import Cluster
from .parcels import File, pieces
from .resources import HOST, of_job
from .roster import Roster
from .routing import parcel_for, plan_of, query_of

log = logging.getLogger("rankwise.fleet")

EVERY_S = 1.0
"""How often the queue is looked at, if nobody wakes us."""
SEEN_EVERY_S = 5.0
LOST_TRIES = 10
"""Workers that a job may lose before it is blamed for it."""
PAUSE_S = 2.0
"""Before a job is tried again."""
SENDERS = 4
"""Workers that files are sent to at once."""
SEND_S = 600.0
"""For one piece: a job may be running on the machine, and is not disturbed."""


class Dispatcher(threading.Thread):
    """The thread that is the cluster's only client."""

    running: str | None = None
    """Nothing is done on this machine, as far as the dispatcher knows."""

    def __init__(self, store: Store, artifacts: ArtifactStore, cluster: Cluster) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self.store, self.artifacts, self.cluster = store, artifacts, cluster
        self._client: Any = None
        self._tasks: dict[str, Any] = {}
        """What is waited for, by job."""
        self._backlog, self._roster = Backlog(), Roster(())
        self._offers: dict[str, set[str]] = {}
        """What each worker held when it was looked at last."""
        self._lost: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._number, self._seen = 0, -SEEN_EVERY_S
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="send")
        self._session = f"{time.time_ns():x}"

    def wake(self) -> None:
        """A job was queued or cancelled."""
        self._wake.set()

    def stop(self) -> None:
        """End. What runs on other machines goes on; its results are in the store."""
        self._stopping.set()
        self._wake.set()
        self.join(15.0)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._disconnect()
        self.cluster.close()

    def run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self.step()
            except RankwiseError as error:
                log.error("jobs have to wait: %s", error)
            except Exception as error:  # whatever a broken connection raises
                log.error("the cluster does not answer: %s", error)
                self._disconnect()
            self._wake.wait(EVERY_S)

    @property
    def waiting(self) -> list[str]:
        """Jobs that somebody is working at, as far as the dispatcher knows."""
        return list(self._tasks)

    def look_again(self, worker: str) -> None:
        """Let the worker at that address see at once what the store says of its devices, even if it
        is busy. Nobody waits for it: one that cannot be reached sees it when it starts next."""
        threading.Thread(target=self._tell, args=(worker,), daemon=True).start()

    def _tell(self, worker: str) -> None:
        client = self._client
        try:
            if client is not None:
                client.run(tasks.look_again, workers=[worker], on_error="ignore")
        except Exception as error:  # whatever Dask raises for a worker that is not there
            log.warning("%s could not be told: %s", worker, error)
        self._seen = -SEEN_EVERY_S  # what it offers now is looked at by the next step
        self.wake()

    def _connected(self) -> Any:
        if self._client is not None and self._client.status in ("running", "connecting"):
            return self._client
        self._disconnect()
        self._client = self.cluster.connect()
        log.info("connected to the cluster")
        return self._client

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        self._tasks.clear()
        if client is not None:
            try:
                client.close(timeout=5)
            except Exception as error:  # of a connection that is broken already
                log.debug("closing the client: %s", error)

    def _note_workers(self, client: Any) -> None:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        if workers:
            self.store.fleet.seen(list(workers))
        offers = {
            address: {name for name, units in one.get("resources", {}).items() if units}
            for address, one in workers.items()
        }
        if offers != self._offers:
            self._offers = offers
            self._offer_again(client)

    def _offer_again(self, client: Any) -> None:
        """Submit again what no worker has. Dask looks for a worker when a task comes and when a
        worker joins, but ours say only later what they hold."""
        waiting = {u: f for u, f in self._tasks.items() if not isinstance(f, Sending)}
        if not waiting:
            return
        had = {key for keys in client.processing().values() for key in keys}
        for uuid, future in waiting.items():
            if not future.done() and future.key not in had:
                del self._tasks[uuid]

    def join_senders(self) -> None:
        """Wait until files that are on their way have arrived."""
        wait(one for one in self._tasks.values() if isinstance(one, Sending))

    def step(self) -> None:
        """Bring what the cluster has into line with what the store says."""
        client = self._connected()
        if time.monotonic() - self._seen > SEEN_EVERY_S:
            self._seen = time.monotonic()
            self._note_workers(client)
            self._read_roster()
        live = self.store.jobs.live_of(self._backlog.given)
        self._forget(self._backlog.given - live)
        for uuid, future in [pair for pair in self._tasks.items() if pair[1].done()]:
            del self._tasks[uuid]
            self._take(client, uuid, future)
        self._backlog.read(self.store.jobs)
        now = time.monotonic()
        due = [u for u in live if u not in self._tasks and self._not_before.get(u, 0.0) <= now]
        for uuid in [*due, *self._backlog.next(self._roster.count)]:
            self._submit(client, uuid)

    def _forget(self, ended: Collection[str]) -> None:
        """These are not live any more. Dask forgets a task that nobody waits for."""
        for uuid in ended:
            for known in (self._tasks, self._lost, self._not_before):
                known.pop(uuid, None)
        self._backlog.ended(ended)

    def _read_roster(self) -> None:
        self._roster = Roster(self.store.fleet.all()[0])

    def _submit(self, client: Any, uuid: str) -> None:
        record = self.store.jobs.get(uuid)
        if record is None or not record.live or self._stopping.is_set():
            return
        try:
            plan = plan_of(self.store, record.request)
            query = self._allowed(query_of(record.request, plan))
            parcel = parcel_for(self.store, self.artifacts, record, plan)
        except StoreError:
            raise
        except RankwiseError as error:
            self.store.jobs.update(uuid, state="failed", error=str(error))
            self.wake()  # the next one can be given
            return
        request = {"job": uuid, "query": str(query), "parcel": parcel.to_json()}
        self._number += 1
        future = client.submit(
            tasks.do_job,
            json.dumps(request),
            key=f"job-{uuid}-{self._session}-{self._number}",
            resources=of_job(query, versions()),
            pure=False,
        )
        self._await(uuid, future)

    def _allowed(self, asked: DeviceQuery) -> DeviceQuery:
        """The query in full. Raises `UsageError` if no device may do what it asks for."""
        query = self._roster.whole(asked)
        if self._roster.refusal(query):
            self._read_roster()  # the device may have come just now
            query = self._roster.whole(asked)
            if why_not := self._roster.refusal(query):
                raise UsageError(why_not)
        return query

    def _await(self, uuid: str, future: Any) -> None:
        """Dask's future, or one of the threads that send files."""
        future.add_done_callback(lambda _: self.wake())
        self._tasks[uuid] = future

    def _take(self, client: Any, uuid: str, future: Any) -> None:
        """What is to be done now that a task has ended. A job that is still live is submitted again
        by the next step."""
        if isinstance(future, Sending):
            if error := future.result():
                self.store.jobs.update(uuid, state="failed", error=error)
        elif future.status != "finished":
            self._lost_worker(uuid, future)
        else:
            answer = json.loads(future.result())
            if answer.get("lacking"):
                files = [File(**one) for one in answer["lacking"]]
                self._await(uuid, self._pool.submit(self._send, client, answer["worker"], files))
                return
            if answer.get("error"):
                self.store.jobs.update(uuid, state="failed", error=answer["error"])
                return
            log.info("job %s on %s: %s", uuid, answer["worker"], answer["ending"])
            self._not_before[uuid] = time.monotonic() + PAUSE_S

    def _lost_worker(self, uuid: str, future: Any) -> None:
        if future.status != "error":
            return  # the scheduler was lost, and with it all tasks
        self._lost[uuid] = self._lost.get(uuid, 0) + 1
        error = future.exception()
        log.error("job %s lost its worker: %s", uuid, error)
        self._not_before[uuid] = time.monotonic() + PAUSE_S
        if self._lost[uuid] >= LOST_TRIES:
            text = f"{LOST_TRIES} workers were lost while they did this job: {error}"
            self.store.jobs.update(uuid, state="failed", error=text)

    def _send(self, client: Any, worker: str, files: Sequence[File]) -> str:
        """Send files to a worker, while nothing is timed there; why it cannot keep them, or
        nothing. A worker that is lost meanwhile is found out by the job that needs them."""
        try:
            for file in files:
                for piece in pieces(self.artifacts.folder, file):
                    where = {"workers": [worker], "resources": {HOST: 1.0}}
                    sent = client.submit(
                        tasks.take_piece, piece, pure=False, priority=1, retries=2, **where
                    )
                    if error := json.loads(sent.result(timeout=SEND_S)).get("error"):
                        return str(error)
        except Exception as error:  # whatever Dask raises when a worker is lost
            log.error("files for %s were not sent: %s", worker, error)
        return ""
