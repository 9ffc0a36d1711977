"""The dispatcher brings the cluster into line with the store: here the cluster is a fake."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankwise.db import Store
from rankwise.db.fleet import HANGS, FleetDevice
from rankwise.fleet import dispatcher as module
from rankwise.fleet import tasks
from rankwise.fleet.dispatcher import LOST_TRIES, Dispatcher
from rankwise.jobs import queue
from rankwise.jobs.artifacts import ArtifactStore, NetworkEntry
from rankwise.jobs.requests import REQUESTS
from rankwise.records import DeviceFingerprint
from rankwise.workflow.fleet_devices import listed, versions

NETWORK = NetworkEntry("n1", "n.onnx", "onnx", None, "networks/n1.onnx", 3, None, "ab", (1,), {})
ADDRESS = "tcp://10.0.0.1:1000"


class Task:
    """A future as Dask's, which is none of Python's: it has a status."""

    def __init__(self, function: Any, text: str, asked: dict[str, Any]) -> None:
        self.function, self.text, self.asked = function, text, asked
        self.key = asked.get("key", "")
        self._future: Future[str] = Future()
        for name in ("cancel", "done", "exception", "result", "set_exception", "set_result"):
            setattr(self, name, getattr(self._future, name))
        self.add_done_callback = self._future.add_done_callback

    @property
    def status(self) -> str:
        if self._future.cancelled():
            return "cancelled"
        return "error" if self._future.done() and self._future.exception() else "finished"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class FakeCluster:
    """A cluster that does what the test says."""

    status = "running"

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.closed = False
        self.resources: dict[str, float] = {}
        self.held: tuple[str, ...] = ()

    def connect(self) -> Any:
        return self

    def submit(self, function: Any, text: str = "", **asked: Any) -> Task:
        task = Task(function, text, asked)
        if function is tasks.take_piece:
            task.set_result("{}")
        self.tasks.append(task)
        return task

    def scheduler_info(self, **_: int) -> dict[str, Any]:
        return {"workers": {ADDRESS: {"resources": self.resources}}}

    def processing(self) -> dict[str, tuple[str, ...]]:
        return {ADDRESS: self.held}

    def close(self, **_: float) -> None:
        self.closed = True

    @property
    def jobs(self) -> list[Task]:
        return [task for task in self.tasks if task.function is tasks.do_job]


def device(name: str = "ab12", **more: Any) -> FleetDevice:
    fingerprint = DeviceFingerprint.of("fake", {"chip": "a"}, {})
    about = ("bench-1", ADDRESS, "fake", fingerprint, ["lab-a"], versions())
    return replace(FleetDevice(name, *about), **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/lab.db") as opened:
        opened.fleet.register(device())
        yield opened


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    made = ArtifactStore(tmp_path / "artifacts")
    (made.folder / "networks" / "n1.onnx").write_bytes(b"abc")
    made.put(NETWORK)
    return made


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def fleet(
    store: Store, artifacts: ArtifactStore, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> Dispatcher:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    return Dispatcher(store, artifacts, cluster)


Ask = Callable[..., str]


@pytest.fixture
def ask(store: Store, artifacts: ArtifactStore) -> Ask:
    def submit(**request: Any) -> str:
        asked = REQUESTS["profile"].model_validate({"network": "n1", **request})
        return queue.submit(store, artifacts, "profile", asked)[0].uuid

    return submit


def error_of(store: Store, uuid: str) -> str:
    job = store.jobs.get(uuid)
    assert job is not None
    return job.error if job.state == "failed" else ""


def test_a_queued_row_becomes_a_task(fleet: Dispatcher, cluster: FakeCluster, ask: Ask) -> None:
    uuid = ask(device="label=lab-a")
    fleet.step()
    fleet.step()
    [task] = cluster.jobs
    request = json.loads(task.text)
    assert (request["job"], request["query"]) == (uuid, "label=lab-a")
    assert [file["path"] for file in request["parcel"]["files"]] == ["networks/n1.onnx"]
    assert {"host", "label=lab-a"} < task.asked["resources"].keys()
    assert task.asked["key"].startswith(f"job-{uuid}-")


def test_what_is_live_is_submitted_until_it_is_not(
    fleet: Dispatcher, cluster: FakeCluster, store: Store, ask: Ask
) -> None:
    uuid = ask(backend="fake")
    for ending in ("again", "stopped", "hung", "superseded", "none"):
        fleet.step()
        cluster.jobs[-1].set_result(json.dumps({"worker": ADDRESS, "ending": ending}))
    fleet.step()
    assert len(cluster.jobs) == 6
    assert len({task.asked["key"] for task in cluster.jobs}) == 6, "Dask knows a key's result"
    store.jobs.update(uuid, state="done")
    cluster.jobs[-1].set_result(json.dumps({"worker": ADDRESS, "ending": "settled"}))
    fleet.step()
    assert len(cluster.jobs) == 6


def test_a_scheduler_that_was_lost_gets_everything_again(
    fleet: Dispatcher, cluster: FakeCluster, store: Store, ask: Ask
) -> None:
    ask(device="label=lab-a")
    fleet.step()
    cluster.jobs[-1].cancel()
    fleet.step()
    assert len(cluster.jobs) == 2
    cluster.status = "closed"
    fleet.step()
    assert len(cluster.jobs) == 3
    assert not store.jobs.page(states=("failed",))[0], "nobody is blamed"


def test_what_no_worker_has_is_submitted_again_once_workers_hold_more(
    fleet: Dispatcher, cluster: FakeCluster, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask does not look again at a task that had no worker when one says what it holds."""
    monkeypatch.setattr(module, "SEEN_EVERY_S", 0.0)
    ask(device="label=lab-a")
    ask(device="id=ab12")
    fleet.step()
    fleet.step()
    first, second = cluster.jobs
    cluster.held = (first.asked["key"],)
    cluster.resources = {"host": 1.0}
    fleet.step()
    assert [task.text for task in cluster.jobs[2:]] == [second.text], "the other one runs"
    fleet.step()
    assert len(cluster.jobs) == 3


def test_a_cancelled_job_is_forgotten(fleet: Dispatcher, store: Store, ask: Ask) -> None:
    uuid = ask(device="label=lab-a")
    fleet.step()
    queue.cancel(store, uuid)
    fleet.step()
    assert not fleet.waiting, "Dask cancels what nobody waits for"


def test_files_are_sent_before_the_job_is_tried_again(
    fleet: Dispatcher, cluster: FakeCluster, ask: Ask
) -> None:
    ask(device="label=lab-a")
    fleet.step()
    request = json.loads(cluster.jobs[0].text)
    lacking = {"worker": ADDRESS, "lacking": request["parcel"]["files"]}
    cluster.jobs[0].set_result(json.dumps(lacking))
    fleet.step()
    fleet.join_senders()
    fleet.step()
    piece, again = cluster.tasks[1:]
    assert piece.asked["workers"] == [ADDRESS]
    assert piece.asked["resources"] == {"host": 1.0}, "nothing is timed meanwhile"
    assert again.function is tasks.do_job


def test_a_worker_whose_disk_is_full_fails_the_job(
    fleet: Dispatcher, cluster: FakeCluster, store: Store, ask: Ask, monkeypatch: Any
) -> None:
    uuid = ask(device="label=lab-a")
    fleet.step()
    files = json.loads(cluster.jobs[0].text)["parcel"]["files"]
    cluster.jobs[0].set_result(json.dumps({"worker": ADDRESS, "lacking": files}))
    full = Task(None, "", {})
    full.set_result(json.dumps({"error": "bench-1 cannot keep a file: no space"}))
    monkeypatch.setattr(cluster, "submit", lambda *_, **__: full)
    fleet.step()
    fleet.join_senders()
    fleet.step()
    assert error_of(store, uuid) == "bench-1 cannot keep a file: no space"
    assert listed(store).devices[0].state == "idle", "the device stays"


def test_a_worker_that_cannot_even_begin_says_why(
    fleet: Dispatcher, cluster: FakeCluster, store: Store, ask: Ask
) -> None:
    uuid = ask(device="label=lab-a")
    fleet.step()
    answer = {"worker": ADDRESS, "error": "bench-1 cannot keep what the job needs: no space"}
    cluster.jobs[0].set_result(json.dumps(answer))
    fleet.step()
    assert error_of(store, uuid) == answer["error"]
    assert len(cluster.jobs) == 1


def test_a_job_that_kills_its_workers_is_blamed_in_the_end(
    fleet: Dispatcher, cluster: FakeCluster, store: Store, ask: Ask
) -> None:
    uuid = ask(device="label=lab-a")
    for _ in range(LOST_TRIES):
        assert not error_of(store, uuid)
        fleet.step()
        cluster.jobs[-1].set_exception(RuntimeError("the worker died"))
    fleet.step()
    assert error_of(store, uuid) == "10 workers were lost while they did this job: the worker died"


def test_nobody_waits_for_a_device_that_may_not_measure(
    fleet: Dispatcher, store: Store, ask: Ask
) -> None:
    store.fleet.register(device("old", labels=["lab-b"], versions={"rankwise": "0"}))
    for _ in range(HANGS):
        store.fleet.hung("ab12", "no progress for 60 s")
    hung, old, gone = (ask(device=f"label=lab-{x}") for x in "abc")
    fleet.step()
    assert "ab12 on bench-1 is in quarantine (no progress for 60 s)" in error_of(store, hung)
    assert "devices --release ID" in error_of(store, hung)
    assert "old on bench-1 has distributed None instead of" in error_of(store, old)
    assert "no device that fits label=lab-c" in error_of(store, gone)
    store.fleet.release("ab12")
    assert listed(store).devices[0].state == "idle"


def test_what_needs_no_device_is_left_to_the_service(
    fleet: Dispatcher, cluster: FakeCluster, store: Store, artifacts: ArtifactStore
) -> None:
    queue.submit(store, artifacts, "layers", REQUESTS["layers"].model_validate({"network": "n1"}))
    fleet.step()
    assert not cluster.jobs


def test_a_beginning_of_a_hardware_key_is_made_whole(
    fleet: Dispatcher, cluster: FakeCluster, ask: Ask
) -> None:
    key = device().hardware_key
    ask(device=f"hardware={key[:5]}")
    fleet.step()
    assert f"hardware={key}" in cluster.jobs[0].asked["resources"]
