"""Events, waiting, the virtual clock. The number in a test's name is the behaviour's.

Nothing here depends on how fast the machine is: device times are virtual, and of the host's
clock only what is true of any clock is asked (a wait is not shorter than what it waits for).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import Rig, ok

SYNC, TIME_LINE = 0x1, 0x8


def test_behaviour_31_states_of_an_event(rig: Rig) -> None:
    rt = rig.acl.rt
    elapsed = rt.event_elapsed_time
    assert elapsed(rig.start, rig.end) == (0.0, 507000)
    rt.record_event(rig.start, rig.stream)
    assert elapsed(rig.start, rig.end) == (0.0, 107006)
    rig.launch()
    rt.record_event(rig.end, rig.stream)
    assert elapsed(rig.start, rig.end) == (0.0, 107006)
    rig.synchronize()
    forwards, backwards = ok(elapsed(rig.start, rig.end)), ok(elapsed(rig.end, rig.start))
    assert forwards > 0
    assert backwards == -forwards
    assert elapsed(0, rig.end) == elapsed(rig.start, 0) == (0.0, 100000)
    assert ok(rt.event_get_timestamp(rig.end)) >= ok(rt.event_get_timestamp(rig.start))


def test_behaviour_31_recording_again_and_resetting(rig: Rig) -> None:
    rt = rig.acl.rt
    rig.elapsed_ms()
    rt.record_event(rig.end, rig.stream)
    assert rt.event_elapsed_time(rig.start, rig.end) == (0.0, 107006)
    rig.synchronize()
    assert rt.event_elapsed_time(rig.start, rig.end)[1] == 0
    assert rt.reset_event(rig.end, rig.stream) == 0
    assert rt.event_elapsed_time(rig.start, rig.end) == (0.0, 507000)


def test_behaviour_32_events_on_different_streams(fake_cann: Any, rig: Rig) -> None:
    rt, other = rig.acl.rt, ok(rig.acl.rt.create_stream())
    rt.record_event(rig.start, rig.stream)
    rt.record_event(rig.end, other)
    rt.synchronize_device()
    assert fake_cann.violations() == []
    assert rt.event_elapsed_time(rig.start, rig.end)[1] == 0, "the real one says nothing either"
    assert "different streams" in fake_cann.violations()[0]


@pytest.mark.parametrize(
    ("flag", "code"), [(TIME_LINE, 0), (TIME_LINE | SYNC, 0), (SYNC, 107006), (0, 107006)]
)
@pytest.mark.parametrize("call", ["create_event_with_flag", "create_event_ex_with_flag"])
def test_behaviour_33_the_flag_for_time(rig: Rig, call: str, flag: int, code: int) -> None:
    rt = rig.acl.rt
    event = ok(getattr(rt, call)(flag))
    rt.record_event(rig.start, rig.stream)
    rt.record_event(event, rig.stream)
    rig.synchronize()
    assert rt.event_elapsed_time(rig.start, event)[1] == code


def test_behaviour_33_unknown_flags(device: Any) -> None:
    assert device.rt.create_event_with_flag(0x100) == (0, 107000)


def test_behaviour_34_time_outs(fake_cann: Any, rig: Rig) -> None:
    fake_cann.configure(first_s=0.05)
    rt = rig.acl.rt
    rig.launch()
    assert rt.synchronize_stream_with_timeout(rig.stream, -2) == 107000
    assert rt.synchronize_stream_with_timeout(rig.stream, 1) == 507046
    assert rig.output_bytes() == b"\xcd" * rig.out_size, "the work goes on"
    assert rt.synchronize_stream_with_timeout(rig.stream, 10_000) == 0
    assert rt.synchronize_stream_with_timeout(rig.stream, 0) == 0, "nothing to wait for"
    assert rig.output_bytes() != b"\xcd" * rig.out_size


def test_behaviour_34_work_that_never_ends(fake_cann: Any, rig: Rig) -> None:
    fake_cann.configure(faults="acl.mdl.execute_async:1=stuck")
    rt = rig.acl.rt
    rig.launch()
    rt.record_event(rig.end, rig.stream)
    assert rt.synchronize_stream_with_timeout(rig.stream, 1) == 507046
    assert rt.synchronize_event(rig.end) == 507047
    assert ok(rt.query_event_status(rig.end)) == 0
    assert rig.synchronize() == 507014
    assert set(rig.release()) == {0}


def test_behaviour_34_synchronous_work_that_never_ends(fake_cann: Any, rig: Rig) -> None:
    fake_cann.configure(faults="acl.mdl.execute:1=stuck")
    assert rig.acl.mdl.execute(rig.model, rig.inputs, rig.outputs) == 507014
    assert rig.acl.mdl.execute(rig.model, rig.inputs, rig.outputs) == 507014, "until a reset"
    assert set(rig.release()) == {0}


def test_behaviour_39_launching_returns_before_the_work_ends(fake_cann: Any, rig: Rig) -> None:
    """Half a second of work; that launching it takes less is asserted by its not being done."""
    fake_cann.configure(first_s=0.5)
    begun = time.perf_counter()
    rig.launch()
    rig.acl.rt.record_event(rig.end, rig.stream)
    assert ok(rig.acl.rt.query_event_status(rig.end)) == 0
    assert rig.synchronize() == 0
    assert time.perf_counter() - begun >= 0.5, "the host's clock cannot read less"


@pytest.mark.parametrize("times", [1, 10, 37])
def test_behaviour_39_the_device_clock_is_arithmetic(
    fake_cann: Any, rig: Rig, om: Path, times: int
) -> None:
    fake_cann.configure(host_wait=0)
    rig.elapsed_ms()  # the first execution after loading takes longer
    wanted_ms = (times * fake_cann.device_s(om) + 2e-6) * 1e3
    read = {rig.elapsed_ms(times) for _ in range(5)}
    assert max(abs(one - wanted_ms) for one in read) <= 2 * 20e-6, "two ticks of 20 ns"


@pytest.mark.usefixtures("fake_cann")
def test_the_first_execution_is_slower(rig: Rig) -> None:
    first, second = rig.elapsed_ms(), rig.elapsed_ms()
    assert first - second == pytest.approx(2.0, abs=1e-3)


def test_jitter_repeats_itself(fake_cann: Any, om: Path) -> None:
    """The same in the n-th process of any run."""

    def series(name: str) -> list[float]:
        with type(fake_cann)(fake_cann.folder / name).on() as fake:
            fake.configure(jitter=0.1, host_wait=0)
            assert fake.acl.init() == fake.acl.rt.set_device(0) == 0
            rig = Rig(fake.acl, om)
            return [rig.elapsed_ms() for _ in range(5)]

    first = series("first")
    assert len(set(first)) == 5
    assert first == series("second")


def test_synchronous_execution_costs_the_host_more(rig: Rig, om: Path, fake_cann: Any) -> None:
    """Events around N synchronous calls see the gaps between them."""
    rt, mdl = rig.acl.rt, rig.acl.mdl
    rig.elapsed_ms()
    rt.record_event(rig.start, 0)
    for _ in range(10):
        assert mdl.execute(rig.model, rig.inputs, rig.outputs) == 0
    rt.record_event(rig.end, 0)
    rt.synchronize_stream(0)
    elapsed_s = ok(rt.event_elapsed_time(rig.start, rig.end)) / 1e3
    assert elapsed_s > 10 * (fake_cann.device_s(om) + 9e-6)
