"""Devices of a fleet in the store: registered, seen, in quarantine and out of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rankwise.clock import now
from rankwise.db import Store
from rankwise.db.fleet import HANGS, FleetDevice
from rankwise.records import DeviceFingerprint

FINGERPRINT = DeviceFingerprint.of("fake", {"chip": "a"}, {"driver": "1"})
DEVICE = FleetDevice(
    id="ab12",
    host="bench-1",
    worker="tcp://10.0.0.1:1000",
    backend="fake:step=16",
    fingerprint=FINGERPRINT,
    labels=["lab-a"],
    versions={"rankwise": "1"},
)


def test_a_device_that_comes_again_is_the_same(store: Store) -> None:
    first = store.fleet.register(DEVICE)
    assert replace(first, seen_at="") == DEVICE
    assert first.hardware_key == FINGERPRINT.hardware_key
    moved = replace(DEVICE, worker="tcp://10.0.0.1:2000", labels=[], versions={"rankwise": "2"})
    again = store.fleet.register(moved)
    assert replace(again, seen_at="") == moved
    assert [one.id for one in store.fleet.all()[0]] == ["ab12"]
    assert store.fleet.get("nosuch") is None


def test_quarantine_lasts_until_somebody_ends_it(store: Store) -> None:
    store.fleet.register(DEVICE)
    for hangs in range(1, HANGS):
        found = store.fleet.hung("ab12", f"hung {hangs}")
        assert (found.state, found.hangs) == ("ready", hangs)
    store.fleet.well("ab12")
    assert store.fleet.hung("ab12", "hung again").hangs == 1, "three in a row"
    for _ in range(HANGS):
        found = store.fleet.hung("ab12", "no progress")
    assert (found.state, found.reason) == ("quarantined", "no progress")
    store.fleet.well("ab12")  # of a job that was still running
    assert store.fleet.register(DEVICE).state == "quarantined", "a restart heals nothing"
    released = store.fleet.release("ab12")
    assert released is not None
    assert (released.state, released.reason, released.hangs) == ("ready", "", 0)
    assert store.fleet.release("nosuch") is None


def test_times_are_the_databases(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine's own clock, which may be years off, is asked for nothing."""

    def never(**_: Any) -> str:
        raise AssertionError("this machine's clock was read")

    before = now()
    monkeypatch.setattr("rankwise.clock.now", never)
    registered = store.fleet.register(DEVICE)
    store.fleet.seen([DEVICE.worker])
    [seen], there = store.fleet.all()
    assert before <= registered.seen_at <= seen.seen_at <= there
    store.fleet.seen(["tcp://elsewhere:1"])
    assert store.fleet.all()[0] == [seen]
