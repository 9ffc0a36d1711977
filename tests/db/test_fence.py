"""Attempts at a job: the last one writes, and nobody else does."""

from __future__ import annotations

import pytest

from rankwise.db import Store
from rankwise.db.fence import Superseded, fenced
from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    LayerSpec,
    MeasurementPolicy,
)

from .test_jobs import record

SPEC = LayerSpec("linear", 8, 8, (8,))
PAIR = Candidate(SPEC, ORIGINAL), [Candidate(SPEC, Decomposition("svd", (2,)))]
DEVICE = DeviceFingerprint.of("fake", {"chip": "a"}, {})


def begin(store: Store) -> int:
    return store.sessions.begin(DEVICE, MeasurementPolicy(), *PAIR, {})


def test_an_attempt_takes_the_job_over(store: Store) -> None:
    store.jobs.put(record("a"))
    assert store.jobs.begin_attempt("a", "device-1") == 1
    claimed = store.jobs.claim("a", 1)
    assert claimed is not None
    assert (claimed.attempt, claimed.device, claimed.state) == (1, "device-1", "running")
    assert store.jobs.on_devices() == {"device-1": "a"}
    assert store.jobs.begin_attempt("a") == 2, "a job that runs can be taken over"
    assert store.jobs.claim("a", 1) is None
    assert not store.jobs.update("a", of_attempt=1, state="done")
    assert store.jobs.claim("a", 2) is not None
    store.jobs.tell("a", 1, {"done": 1})
    store.jobs.tell("a", 2, {"done": 2})
    job = store.jobs.get("a")
    assert job is not None
    assert job.progress == {"done": 2}
    assert store.jobs.update("a", of_attempt=2, state="done")
    assert store.jobs.begin_attempt("a") is None, "it is not live any more"
    assert store.jobs.begin_attempt("nosuch") is None


def test_a_stale_attempt_writes_nothing(store: Store, url: str) -> None:
    store.jobs.put(record("a"))
    attempt = store.jobs.begin_attempt("a")
    assert attempt == 1
    with fenced(url, "a", attempt):
        session = begin(store)
        assert store.jobs.update("a", progress={"done": 1})
    store.jobs.begin_attempt("a")
    with fenced(url, "a", attempt):
        for write in (
            lambda: begin(store),
            lambda: store.sessions.end_from_samples(session),
            lambda: store.jobs.update("a", state="done"),
            lambda: store.jobs.put(record("b", key="b")),
        ):
            with pytest.raises(Superseded, match="attempt 1 at job a is over"):
                write()
        with pytest.raises(Superseded):
            store.sessions.add_round(session, [])
        assert store.jobs.get("a") is not None, "reading is free"
    assert store.jobs.update("a", state="done"), "whoever does no job is not asked"


def test_other_stores_are_not_the_jobs(store: Store, url: str, new_url: object) -> None:
    assert callable(new_url)
    with Store.open(new_url()) as other, fenced(url, "nosuch", 1):
        assert begin(other)
        with pytest.raises(Superseded):
            begin(store)
