"""Jobs in the store: one live job for a request, one owner for a job, nothing lost."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from rankwise.db import Store
from rankwise.db.jobs import JobRecord

AT = "2026-01-01T00:00:00.000Z"


def record(uuid: str, key: str = "k", **more: object) -> JobRecord:
    values = {"state": "queued", "progress": {}, "result": None, "error": "", "created_at": AT}
    times = {"started_at": None, "ended_at": None, "owner": None}
    return JobRecord(uuid, "plan", {"a": 1}, key, **{**values, **times, **more})  # type: ignore[arg-type]


def test_the_same_request_is_the_same_job_while_it_lives(store: Store) -> None:
    assert store.jobs.put(record("a")).uuid == "a"
    assert store.jobs.put(record("b")).uuid == "a"
    assert store.jobs.update("a", state="done", result={"x": 1})
    assert store.jobs.put(record("b")).uuid == "b"
    first = store.jobs.get("a")
    assert first is not None
    assert (first.state, first.result, first.live) == ("done", {"x": 1}, False)
    assert first.ended_at is not None


def test_many_ask_at_once_and_one_job_comes_of_it(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = {job.uuid for job in pool.map(store.jobs.put, map(record, "abcdefgh"))}
    assert len(found) == 1
    assert store.jobs.page()[1] == 1


def test_a_job_has_one_owner(store: Store) -> None:
    store.jobs.put(record("a"))
    with ThreadPoolExecutor(8) as pool:
        claimed = [job for job in pool.map(store.jobs.claim, ["a"] * 8) if job]
    assert [job.state for job in claimed] == ["running"]
    assert claimed[0].owner
    assert store.jobs.claim() is None


def test_the_oldest_is_claimed_first(store: Store) -> None:
    for uuid in "abc":
        store.jobs.put(record(uuid, key=uuid))
    assert [job.uuid for job in iter(store.jobs.claim, None)] == ["a", "b", "c"]


def test_what_has_ended_is_not_changed(store: Store) -> None:
    store.jobs.put(record("a"))
    store.jobs.update("a", state="cancelled")
    assert not store.jobs.update("a", state="done")
    assert not store.jobs.update("a", states=("running",), progress={"done": 1})
    job = store.jobs.get("a")
    assert job is not None
    assert job.state == "cancelled"


def test_jobs_of_a_process_that_is_gone_are_queued_again(store: Store, url: str) -> None:
    store.jobs.put(record("a"))
    store.jobs.put(record("b", key="b"))
    code = (
        "import sys; from rankwise.db import Store\n"
        "with Store.open(sys.argv[1]) as store: store.jobs.claim('a')"
    )
    subprocess.run([sys.executable, "-P", "-c", code, url], check=True)
    store.jobs.claim("b")
    assert store.jobs.requeue() == ["a"], "b's owner, this process, is there"
    assert [job.uuid for job in store.jobs.page(states=("queued",))[0]] == ["a"]
    assert store.jobs.requeue() == []


def test_pages_and_filters(store: Store) -> None:
    for number in range(5):
        store.jobs.put(record(str(number), key=str(number)))
    store.jobs.update("1", state="failed")
    page, total = store.jobs.page(limit=2, offset=1)
    assert ([job.uuid for job in page], total) == (["3", "2"], 5)
    failed, total = store.jobs.page(states=("failed",), kinds=("plan",))
    assert ([job.uuid for job in failed], total) == (["1"], 1)
    assert store.jobs.page(kinds=("profile",)) == ([], 0)


def test_old_ended_jobs_are_forgotten(store: Store) -> None:
    for number in range(6):
        store.jobs.put(record(str(number), key=str(number)))
        if number:
            store.jobs.update(str(number), state="done")
    assert store.jobs.prune(2) == 3
    assert [job.uuid for job in store.jobs.page()[0]] == ["5", "4", "0"]


def test_the_stamp_changes_with_what_a_table_shows(store: Store) -> None:
    before = store.measurements.stamp()
    assert store.measurements.stamp() == before
    store.jobs.put(record("a"))
    assert store.measurements.stamp() == before
    store.networks.put("a" * 64, "net", (1, 4), ())
    assert store.measurements.stamp() != before
