"""Mistakes that were seen in public code: each has to come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Rig, ok


def test_a_tuple_that_was_not_unpacked(device: Any, om: Path) -> None:
    model = device.mdl.load_from_file(str(om))
    with pytest.raises(TypeError):
        device.mdl.unload(model)


def test_keywords(device: Any) -> None:
    with pytest.raises(TypeError):
        device.rt.malloc(64, policy=0)


def test_a_device_before_init(acl: Any) -> None:
    assert acl.rt.set_device(0) != 0


def test_a_count_that_is_a_tuple(device: Any) -> None:
    with pytest.raises(TypeError):
        range(device.rt.get_device_count())


def test_invented_constants(device: Any) -> None:
    with pytest.raises(AttributeError):
        device.rt.memcpy(1, 1, 1, 1, device.rt.MEMCPY_HOST_TO_DEVICE)


def test_the_wrong_kind(rig: Rig) -> None:
    host = ok(rig.acl.rt.malloc_host(64))
    assert rig.acl.rt.memcpy(host, 64, rig.out_ptr, 64, 3) != 0


def test_reading_too_early(rig: Rig) -> None:
    rig.launch()
    assert set(rig.output_bytes()) == {0xCD}


@pytest.mark.usefixtures("fake_cann")
def test_timing_the_launch_only(rig: Rig) -> None:
    """The end is recorded, and nobody waits for it."""
    rt = rig.acl.rt
    rt.record_event(rig.start, rig.stream)
    rig.launch(5)
    rt.record_event(rig.end, rig.stream)
    assert rt.event_elapsed_time(rig.start, rig.end)[1] != 0


@pytest.mark.usefixtures("ended")
def test_forgetting_to_finalize(fake_cann: Any, rig: Rig) -> None:
    rig.release()
    rig.acl.rt.reset_device(0)
    fake_cann.off()
    assert "without a finalize" in fake_cann.leaks()[0]


@pytest.mark.parametrize("forgotten", range(11))
def test_forgetting_any_one_release(
    fake_cann: Any, rig: Rig, ended: Callable[[], list[int]], forgotten: int
) -> None:
    acl = rig.acl
    steps: list[Callable[[], Any]] = [
        lambda: acl.mdl.unload(rig.model),
        lambda: acl.mdl.destroy_desc(rig.desc),
        *(lambda p=p: acl.rt.free(p) for p in (rig.in_ptr, rig.out_ptr)),
        *(lambda b=b: acl.destroy_data_buffer(b) for b in (rig.in_buf, rig.out_buf)),
        *(lambda d=d: acl.mdl.destroy_dataset(d) for d in (rig.inputs, rig.outputs)),
        *(lambda e=e: acl.rt.destroy_event(e) for e in (rig.start, rig.end)),
        lambda: acl.rt.destroy_stream(rig.stream),
    ]
    del steps[forgotten]
    for step in steps:
        assert step() == 0
    assert ended() == [0, 0]
    assert len(fake_cann.leaks()) == 1
