"""Beginning, ending, devices, contexts, streams, handles. The number is the behaviour's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Rig, ok


def test_the_documented_order_leaves_nothing(
    fake_cann: Any, rig: Rig, ended: Callable[[], list[int]]
) -> None:
    assert rig.elapsed_ms() > 0
    assert set(rig.release()) == {0}
    assert ended() == [0, 0]
    fake_cann.assert_clean()


def test_behaviour_03_init_twice(acl: Any) -> None:
    assert [acl.init(), acl.init(), acl.init("")] == [0, 100002, 100002]
    assert acl.rt.get_device_count() == (1, 0)


def test_behaviour_03_configurations(acl: Any, tmp_path: Path) -> None:
    good, bad = tmp_path / "acl.json", tmp_path / "bad.json"
    good.write_text("{}")
    bad.write_text("{")
    assert acl.init(str(tmp_path / "none.json")) == 100003
    assert acl.init(str(bad)) == 100006
    assert acl.init() == 0
    assert acl.init(str(good)) == 100000


def test_behaviour_03_stubs_on_the_library_path(acl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/lib:/opt/cann/x86_64-linux/devlib")
    assert acl.init() == 100039


def test_behaviour_04_finalize_twice(acl: Any) -> None:
    assert acl.finalize() == 100001
    assert [acl.init(), acl.finalize(), acl.finalize()] == [0, 0, 100037]


def test_behaviour_04_finalize_lists_what_is_alive(fake_cann: Any, rig: Rig) -> None:
    assert rig.acl.finalize() == 0
    text = "\n".join(fake_cann.leaks())
    for what in (
        *("device memory", "model 1", "model description", "dataset", "data buffer"),
        *("stream", "event", "device 0: 1 set_device"),
    ):
        assert what in text
    with pytest.raises(AssertionError, match="not given back"):
        fake_cann.assert_clean()


def test_behaviour_04_not_from_a_destructor(fake_cann: Any, acl: Any) -> None:
    class Owner:
        def __del__(self) -> None:
            acl.finalize()

    acl.init()
    Owner().__del__()
    assert "destructor" in fake_cann.violations()[0]


def test_init_after_finalize_works_and_is_told(fake_cann: Any, acl: Any) -> None:
    assert [acl.init(), acl.finalize(), acl.init(), acl.rt.set_device(0)] == [0, 0, 0, 0]
    assert "older manuals" in fake_cann.violations()[0]


@pytest.mark.parametrize("finalised", [False, True], ids=["never", "not any more"])
def test_behaviour_05_before_init(acl: Any, om: Path, finalised: bool) -> None:
    if finalised:
        acl.init()
        acl.finalize()
    assert acl.rt.set_device(0) == 100001
    assert acl.rt.malloc(64, 0) == (0, 100001)
    assert acl.rt.get_device_count() == (0, 100001)
    assert acl.rt.get_mem_info(1) == (0, 0, 100001)
    assert acl.mdl.load_from_file(str(om)) == (0, 145001)
    assert acl.mdl.create_desc() == 0


@pytest.mark.parametrize("number", [-1, 2, 1000])
def test_behaviour_06_device_out_of_range(fake_cann: Any, number: int) -> None:
    fake_cann.configure(devices=2)
    fake_cann.acl.init()
    assert fake_cann.acl.rt.get_device_count() == (2, 0)
    assert fake_cann.acl.rt.set_device(number) == 107001
    assert fake_cann.acl.rt.create_context(number) == (0, 107001)
    assert fake_cann.acl.rt.set_device(1) == 0
    assert fake_cann.acl.rt.get_device() == (1, 0)


def _need_a_context(acl: Any, om: Path) -> list[Any]:
    return [
        *(acl.rt.malloc(64, 0), acl.rt.malloc_host(64), acl.rt.create_stream()),
        *(acl.rt.create_event(), acl.mdl.load_from_file(str(om)), acl.rt.get_context()),
        *(acl.rt.memcpy(1, 1, 1, 1, 1), acl.rt.synchronize_device()),
        *(acl.rt.synchronize_stream(0), acl.rt.record_event(1, 0)),
    ]


NO_CONTEXT = [*[(0, 107002)] * 6, *[107002] * 4]


def test_behaviour_07_no_context(acl: Any, om: Path) -> None:
    acl.init()
    assert _need_a_context(acl, om) == NO_CONTEXT


def test_behaviour_07_a_context_is_the_threads_own(device: Any, om: Path) -> None:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(_need_a_context(device, om)))
    thread.start()
    thread.join()
    assert results == NO_CONTEXT


def test_behaviour_08_reset_without_set(device: Any, om: Path) -> None:
    rt = device.rt
    assert rt.set_device(0) == 0
    assert rt.reset_device(0) == 0
    assert rt.malloc(64, 0)[1] == 0, "one of two sets is left"
    assert [rt.reset_device(0), rt.reset_device(0), rt.reset_device_force(0)] == [0, 507007, 507007]
    assert _need_a_context(device, om) == NO_CONTEXT


def test_behaviour_08_force_resets_all(device: Any) -> None:
    device.rt.set_device(0)
    assert device.rt.reset_device_force(0) == 0
    assert device.rt.reset_device(0) == 507007


def test_behaviour_08_reset_is_after_all_else(fake_cann: Any, device: Any) -> None:
    pointer = ok(device.rt.malloc(64, 0))
    device.rt.reset_device(0)
    assert device.rt.free(pointer) == 107002
    assert "device memory: 64 bytes" in fake_cann.leaks()[0]


def test_behaviour_09_stream_of_another_context(rig: Rig) -> None:
    acl = rig.acl
    other = ok(acl.rt.create_context(0))
    assert acl.rt.get_context() == (other, 0)
    assert acl.rt.synchronize_stream(rig.stream) == 107003
    assert acl.rt.record_event(rig.start, rig.stream) == 107003
    assert acl.rt.destroy_stream(rig.stream) == 107003
    assert acl.rt.memcpy_async(rig.in_ptr, 4, rig.out_ptr, 4, 3, rig.stream) == 107003


@pytest.mark.parametrize("kind", ["stream", "event"])
def test_behaviour_10_destroyed_handles(device: Any, kind: str) -> None:
    handle = ok(getattr(device.rt, f"create_{kind}")())
    destroy = getattr(device.rt, f"destroy_{kind}")
    assert [destroy(handle), destroy(handle)] == [0, 107017]
    used = (
        device.rt.synchronize_stream(handle)
        if kind == "stream"
        else device.rt.record_event(handle, 0)
    )
    assert used == 107017


def test_behaviour_10_handles_of_the_wrong_kind(device: Any) -> None:
    stream, event = ok(device.rt.create_stream()), ok(device.rt.create_event())
    assert device.rt.destroy_event(stream) == 107017
    assert device.rt.destroy_stream(event) == 107017
    assert device.rt.synchronize_stream(event) == 107017
    assert device.rt.record_event(12345, 0) == 107017


def test_behaviour_11_null_handles(device: Any) -> None:
    assert device.rt.destroy_stream(0) == 100000
    assert device.rt.destroy_event(0) == 100000
    assert device.rt.record_event(0, 0) == 100000
    assert device.rt.synchronize_event(0) == 100000
    assert device.rt.event_elapsed_time(0, 0) == (0.0, 100000)


def test_behaviour_11_a_null_stream_is_the_default_one(rig: Rig) -> None:
    acl = rig.acl
    assert acl.mdl.execute_async(rig.model, rig.inputs, rig.outputs, 0) == 0
    assert acl.rt.record_event(rig.start, 0) == 0
    assert acl.rt.synchronize_stream(0) == 0


def test_behaviour_12_default_context_and_twice(device: Any) -> None:
    rt = device.rt
    default, _ = rt.get_context()
    assert rt.destroy_context(default) == 107002
    own = ok(rt.create_context(0))
    assert [rt.destroy_context(own), rt.destroy_context(own)] == [0, 107002]
    assert rt.malloc(64, 0) == (0, 107002), "the thread's context is gone"
    assert rt.set_context(own) == 107002
    assert rt.set_context(default) == 0
    assert rt.malloc(64, 0)[1] == 0
    assert rt.destroy_context(0) == rt.set_context(0) == 100000


def test_streams_go_before_their_context(fake_cann: Any, device: Any) -> None:
    own = ok(device.rt.create_context(0))
    device.rt.create_stream()
    assert device.rt.destroy_context(own) == 0
    assert "before its 1 streams" in fake_cann.violations()[0]


def test_streams_are_synchronised_before_they_go(fake_cann: Any, rig: Rig) -> None:
    rig.launch()
    assert rig.acl.rt.destroy_stream(rig.stream) == 0
    assert "1 tasks" in fake_cann.violations()[0]


def test_streams_and_events_run_out(fake_cann: Any) -> None:
    fake_cann.configure(soc="Ascend310P3")
    fake_cann.acl.init()
    fake_cann.acl.rt.set_device(0)
    rt = fake_cann.acl.rt
    assert {rt.create_event()[1] for _ in range(1023)} == {0}
    assert rt.create_event() == (0, 207007)
    assert {rt.create_stream()[1] for _ in range(1024)} == {0}
    assert rt.create_stream() == (0, 207008)
