"""Jobs: the same request is the same job, two workers never get the same, ended is ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rankwise.db import Store
from rankwise.errors import StoreError

REQUEST = {"model": "resnet18", "backend": "fake", "threads": 1}


def test_a_job_goes_its_way(store: Store) -> None:
    job, new = store.put_job("profile", REQUEST)
    assert new
    assert (job.state, job.request, job.progress, job.result) == ("queued", REQUEST, 0.0, None)
    assert (job.started_at, job.ended_at) == ("", "")

    claimed = store.claim_job()
    assert claimed is not None
    assert (claimed.uuid, claimed.state) == (job.uuid, "running")
    assert claimed.started_at
    assert store.update_job(job.uuid, progress=0.5, message="conv1\0").message == "conv1"

    done = store.update_job(job.uuid, state="done", progress=1.0, result={"rows": 3})
    assert done.ended
    assert done.ended_at
    assert (done.result, store.job(job.uuid)) == ({"rows": 3}, done)
    assert store.claim_job() is None


def test_the_same_request_is_the_same_job(store: Store) -> None:
    job, _ = store.put_job("profile", REQUEST)
    same, new = store.put_job("profile", dict(reversed(REQUEST.items())))
    assert (same, new) == (job, False)
    assert store.put_job("plan", REQUEST)[1]
    assert store.put_job("profile", {**REQUEST, "threads": 2})[1]
    assert store.put_job("profile", {}, request_key="mine")[1]
    assert not store.put_job("profile", REQUEST, request_key="mine")[1]
    store.update_job(job.uuid, state="done")
    assert store.put_job("profile", REQUEST) == (store.job(job.uuid), False)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_what_failed_or_was_cancelled_can_be_asked_for_again(store: Store, state: Any) -> None:
    job, _ = store.put_job("profile", REQUEST)
    store.update_job(job.uuid, state=state, error="no such device")
    again, new = store.put_job("profile", REQUEST)
    assert new
    assert again.uuid != job.uuid


def test_an_ended_job_stays_as_it_ended(store: Store) -> None:
    job, _ = store.put_job("profile", REQUEST)
    store.claim_job()
    store.update_job(job.uuid, state="cancelled")
    late = store.update_job(job.uuid, state="done", progress=1.0, result={})
    assert (late.state, late.progress, late.result) == ("cancelled", 0.0, None)


def test_jobs_are_claimed_in_order_and_by_kind(store: Store) -> None:
    first, second, third = (store.put_job(k, {"n": n})[0] for n, k in enumerate("aba"))
    assert [job.uuid for job in store.jobs()] == [third.uuid, second.uuid, first.uuid]
    assert [job.uuid for job in store.jobs(limit=1, offset=1)] == [second.uuid]
    assert [job.uuid for job in store.jobs(kinds=["b"])] == [second.uuid]
    by_kind, by_name = store.claim_job(kinds=["b"]), store.claim_job(uuid=third.uuid)
    assert by_kind is not None
    assert by_name is not None
    assert (by_kind.uuid, by_name.uuid) == (second.uuid, third.uuid)
    assert {job.uuid for job in store.jobs(states=["running"])} == {second.uuid, third.uuid}


def test_no_two_get_the_same_job(url: str) -> None:
    with Store.open(url) as store:
        for number in range(20):
            store.put_job("profile", {"n": number})

    def work(_: int) -> list[str]:
        with Store.open(url) as own:
            return [job.uuid for job in iter(own.claim_job, None) if job is not None]

    with ThreadPoolExecutor(4) as pool:
        claimed = [uuid for found in pool.map(work, range(4)) for uuid in found]
    assert len(claimed) == len(set(claimed)) == 20


def test_a_job_whose_process_is_gone_is_queued_again(
    store: Store, execute: Callable[..., Any]
) -> None:
    job, _ = store.put_job("profile", REQUEST)
    first = store.claim_job()
    assert store.requeue_jobs() == 0  # this process is alive
    execute("UPDATE jobs SET process_started = -1")
    assert store.requeue_jobs() == 1
    again = store.claim_job()
    assert first is not None
    assert again is not None
    assert (again.uuid, again.started_at) == (job.uuid, first.started_at)


def test_a_job_that_is_not_there(store: Store) -> None:
    assert store.job("0" * 32) is None
    with pytest.raises(StoreError, match="no job"):
        store.update_job("0" * 32, progress=1.0)
