"""The cluster is given what its devices begin soon, and nobody waits for somebody else's device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rankwise.db import Store
from rankwise.db.jobs import JobRecord
from rankwise.fleet.backlog import AHEAD, Backlog

Ask = Callable[..., list[str]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/lab.db") as opened:
        yield opened


@pytest.fixture
def ask(store: Store) -> Ask:
    def put(device: str, count: int = 1, kind: str = "profile") -> list[str]:
        made = [f"{device}-{number}" for number in range(count)]
        for uuid in made:
            request = {"device": device, "backend": None}
            about = ("", "queued", {}, None, "", "2026-01-01", None, None, None)
            store.jobs.put(JobRecord(uuid, kind, request, uuid[-32:], *about[1:]))
        return made

    return put


def test_a_long_queue_for_one_device_holds_up_nobody(store: Store, ask: Ask) -> None:
    mine, others = ask("id=a", 50), ask("label=lab-b", 50)
    backlog = Backlog()
    backlog.read(store.jobs)
    counts = {"id=a": 1, "label=lab-b": 3}
    given = list(backlog.next(counts.__getitem__))
    assert given == mine[:AHEAD] + others[: 3 * AHEAD], "the oldest first"
    assert not list(backlog.next(counts.__getitem__)), "until one has ended"
    backlog.ended([mine[0], *others[:2]])
    assert list(backlog.next(counts.__getitem__)) == [mine[AHEAD], *others[6:8]]


def test_new_jobs_are_seen_and_none_is_given_twice(store: Store, ask: Ask) -> None:
    first = ask("label=lab-a", 3)
    backlog = Backlog()
    backlog.read(store.jobs)
    assert list(backlog.next(lambda _: 100)) == first
    second = ask("label=lab-b", 2)
    backlog.read(store.jobs)
    assert list(backlog.next(lambda _: 100)) == second
    assert backlog.given == {*first, *second}


def test_all_is_read_again_now_and_then(
    store: Store, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever became live behind what was read."""
    [old] = ask("label=lab-a")
    store.jobs.update(old, state="failed")
    [new] = ask("label=lab-b")
    backlog = Backlog()
    backlog.read(store.jobs)
    store.jobs.update(old, states=("failed",), state="queued")
    backlog.read(store.jobs)
    assert list(backlog.next(lambda _: 1)) == [new]
    monkeypatch.setattr("rankwise.fleet.backlog.READ_ALL_EVERY_S", 0.0)
    backlog.read(store.jobs)
    assert list(backlog.next(lambda _: 1)) == [old]


def test_what_needs_no_device_and_what_no_device_fits(store: Store, ask: Ask) -> None:
    """The one is none of the cluster's; the other is given, so that somebody refuses it."""
    ask("", kind="layers")
    [nobody] = ask("label=nowhere")
    backlog = Backlog()
    backlog.read(store.jobs)
    assert list(backlog.next(lambda _: 0)) == [nobody]
