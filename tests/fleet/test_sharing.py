"""Shared profiles: parts are jobs, and their progress and results are those of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankwise import documents
from rankwise.campaign.parts import PER_DEVICE
from rankwise.db import Store
from rankwise.db.fleet import FleetDevice
from rankwise.db.jobs import JobRecord
from rankwise.jobs import queue
from rankwise.jobs.artifacts import ArtifactStore, NetworkEntry
from rankwise.jobs.requests import REQUESTS
from rankwise.jobs.sharing import SHARED, Sharer
from rankwise.records import DeviceFingerprint, MeasurementPolicy
from rankwise.workflow.fleet_devices import versions

NETWORK = NetworkEntry("n1", "n.onnx", "onnx", None, "networks/n1.onnx", 3, None, "ab", (1,), {})
FINGERPRINT = DeviceFingerprint.of("fake", {"chip": "a"}, {})
OTHER = DeviceFingerprint.of("fake", {"chip": "b"}, {})


def device(name: str, fingerprint: DeviceFingerprint = FINGERPRINT, **more: Any) -> FleetDevice:
    about = ("bench", "tcp://10.0.0.1:1", "fake", fingerprint, ["lab"], versions())
    return replace(FleetDevice(name, *about), **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/lab.db") as opened:
        for name in ("d1", "d2"):
            opened.fleet.register(device(name))
        yield opened


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def sharer(store: Store, woken: list[str]) -> Sharer:
    return Sharer(store, lambda: woken.append("woken"))


@pytest.fixture
def ask(store: Store, tmp_path: Path) -> Callable[..., str]:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    (artifacts.folder / "networks" / "n1.onnx").write_bytes(b"abc")
    artifacts.put(NETWORK)

    def submit(**request: Any) -> str:
        given = {"network": "n1", "device": "label=lab", **request}
        asked = REQUESTS["shared_profile"].model_validate(given)
        return queue.submit(store, artifacts, SHARED, asked)[0].uuid

    return submit


def parts_of(store: Store) -> list[JobRecord]:
    return store.jobs.page(kinds=("profile",), oldest_first=True)[0]


def job(store: Store, uuid: str) -> JobRecord:
    found = store.jobs.get(uuid)
    assert found is not None
    return found


def result(measured: int, faster: int) -> dict[str, Any]:
    model = documents.Model(source="n", sha256="ab", input_shape=(1, 3))
    return documents.Profile(
        model=model,
        device=documents.Fingerprint.of(FINGERPRINT),
        policy=MeasurementPolicy().to_json(),
        specs=1,
        candidates=measured,
        measured=measured,
        already_measured=0,
        samples=10,
        verdicts={"FASTER": faster},
        failures=[],
        elapsed_s=1.0,
        complete=True,
        part="1/8",
    ).model_dump(mode="json")


def finish(store: Store, record: JobRecord, faster: int = 1) -> None:
    store.jobs.update(record.uuid, state="done", result=result(2, faster))


def test_parts_are_asked_for_once(
    store: Store, sharer: Sharer, ask: Callable[..., str], woken: list[str]
) -> None:
    uuid = ask(kinds=["svd"])
    for one in (sharer, sharer, Sharer(store, lambda: None)):  # the last: after a restart
        one.step()
    parts = parts_of(store)
    count = PER_DEVICE * 2
    assert [one.request["part"] for one in parts] == [f"{n}/{count}" for n in range(1, count + 1)]
    assert {one.request["device"] for one in parts} == {
        f"hardware={FINGERPRINT.hardware_key} label=lab"
    }
    assert all(one.request["kinds"] == ["svd"] for one in parts)
    assert woken == ["woken"]
    assert job(store, uuid).progress == {
        "done": 0.0,
        "total": count,
        "text": f"parts: {count} queued",
    }


def test_its_progress_is_that_of_its_parts(
    store: Store, sharer: Sharer, ask: Callable[..., str]
) -> None:
    uuid = ask()
    sharer.step()
    first, second, *_ = parts_of(store)
    finish(store, first)
    store.jobs.update(second.uuid, state="running", progress={"done": 1.0, "total": 4.0})
    sharer.step()
    progress = job(store, uuid).progress
    assert (progress["done"], progress["total"]) == (1.25, 8)
    assert progress["text"] == "parts: 1 done, 6 queued, 1 running"
    store.fleet.register(device("d3"))  # comes too late: there are as many parts as there were
    sharer.step()
    assert len(parts_of(store)) == 8


def test_its_result_is_that_of_its_parts(
    store: Store, sharer: Sharer, ask: Callable[..., str]
) -> None:
    uuid = ask()
    sharer.step()
    for faster, part in enumerate(parts_of(store), 1):
        finish(store, part, faster)
    sharer.step()
    done = job(store, uuid)
    assert done.state == "done"
    assert done.result is not None
    made = documents.Profile.model_validate(done.result)
    assert (made.specs, made.candidates, made.samples, made.part) == (8, 16, 80, None)
    assert made.verdicts == {"FASTER": 8}
    assert made.complete


def test_a_part_that_fails_is_said_when_all_others_are_done(
    store: Store, sharer: Sharer, ask: Callable[..., str]
) -> None:
    uuid = ask()
    sharer.step()
    failed, *others = parts_of(store)
    store.jobs.update(failed.uuid, state="failed", error="the disk is full")
    sharer.step()
    assert job(store, uuid).state == "running"
    for part in others:
        finish(store, part)
    sharer.step()
    assert job(store, uuid).error == "1 of 8 parts were not done: the disk is full"
    again = queue.resume(store, uuid)
    assert again is not None
    sharer.step()
    assert len(parts_of(store)) == 16  # those that are done are found in the store of measurements


def test_who_cancels_it_cancels_its_parts(
    store: Store, sharer: Sharer, ask: Callable[..., str]
) -> None:
    uuid = ask()
    sharer.step()
    queue.cancel(store, uuid)
    sharer.step()
    assert {part.state for part in parts_of(store)} == {"cancelled"}


def test_devices_of_two_kinds_share_nothing(
    store: Store, sharer: Sharer, ask: Callable[..., str]
) -> None:
    store.fleet.register(device("d3", OTHER))
    uuid = ask()
    sharer.step()
    assert "fits 2: add hardware=" in job(store, uuid).error
    one = ask(device=f"hardware={OTHER.hardware_key[:6]}")
    sharer.step()
    assert job(store, one).progress["total"] == PER_DEVICE


def test_devices_that_may_not_measure_share_nothing(
    store: Store, sharer: Sharer, ask: Callable[..., str]
) -> None:
    uuid = ask(device="label=nowhere")
    sharer.step()
    assert "no device that fits label=nowhere may measure" in job(store, uuid).error
