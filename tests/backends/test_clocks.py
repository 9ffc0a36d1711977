"""Clocks: what is between the readings, and the arithmetic of a device's events."""

from __future__ import annotations

import time

import pytest

from rankwise.backends.clocks import EventClock, HostClock


class Device:
    """A device on which launches cost the host 1 ms, executions last 5 ms, events 0."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host_ms, self.done_ms = 100.0, 0.0
        self.log: list[str] = []
        monkeypatch.setattr(time, "perf_counter_ns", lambda: int(self.host_ms * 1e6))

    def launch(self) -> None:
        self.log.append("launch")
        self.host_ms += 1
        self.done_ms = max(self.done_ms, self.host_ms) + 5

    def between(self) -> None:
        self.log.append("between")
        self.host_ms += 50
        self.done_ms = max(self.done_ms, self.host_ms) + 20

    def synchronize(self) -> None:
        self.log.append("synchronize")
        self.host_ms = max(self.host_ms, self.done_ms)

    def clock(self) -> EventClock:
        return EventClock(lambda: Event(self), self.synchronize)


class Event:
    def __init__(self, device: Device) -> None:
        self.device, self.at_ms = device, -1.0

    def record(self) -> None:
        self.device.log.append("record")
        self.at_ms = max(self.device.done_ms, self.device.host_ms)

    def elapsed_time(self, end_event: Event) -> float:
        assert self.device.host_ms >= end_event.at_ms, "read before the device was done"
        return end_event.at_ms - self.at_ms


def test_events_stand_around_all_executions(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    seconds = device.clock().time(device.launch, 4)
    # one launch of 1 ms, then four executions of 5 ms without a gap
    assert seconds == pytest.approx({"device": 21e-3 / 4, "host": 21e-3 / 4})
    assert device.log == ["synchronize", "record", *["launch"] * 4, "record", "synchronize"]


def test_what_lies_between_is_on_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    seconds = device.clock().time(device.launch, 3, device.between)
    assert seconds == pytest.approx({"device": 6e-3, "host": 6e-3})
    once = ["between", "synchronize", "record", "launch", "record", "synchronize"]
    assert device.log == once * 3


def test_work_enqueued_before_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    device.between()
    assert device.clock().time(device.launch, 1)["device"] == pytest.approx(6e-3)


@pytest.mark.parametrize("between", [True, False])
def test_the_hosts_clock(between: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    found = HostClock().time(device.launch, 4, device.between if between else None)
    assert found == pytest.approx({"host": 1e-3})
    assert device.log.count("launch") == 4
    assert device.log.count("between") == 4 * between
