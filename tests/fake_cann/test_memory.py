"""Allocations and copies. The number in a test's name is the behaviour's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_cann.calls import FollowedBadPointer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import ok

H2H, H2D, D2H, D2D, BY_ADDRESS, H2BUF2D = range(6)
SIZE = 256


@pytest.fixture
def pointers(device: Any) -> dict[str, int]:
    """Two blocks on either side."""
    return {
        **{f"d{n}": ok(device.rt.malloc(SIZE, 0)) for n in range(2)},
        **{f"h{n}": ok(device.rt.malloc_host(SIZE)) for n in range(2)},
    }


def test_behaviour_13_nothing_to_allocate_or_free(device: Any) -> None:
    assert device.rt.malloc(0, 0) == (0, 100000)
    assert device.rt.free(0) == 100000
    assert device.rt.malloc_host(0) == (0, 100000)
    assert device.rt.free_host(0) == 100000
    assert device.rt.malloc(64, 99) == (0, 100000)


def test_behaviour_14_frees_only_what_it_allocated(device: Any, pointers: dict[str, int]) -> None:
    rt = device.rt
    assert rt.free(pointers["d0"] + 64) == 107000, "interior"
    assert rt.free(pointers["h0"]) == 107000, "host memory"
    assert rt.free_host(pointers["d0"]) == 107000, "device memory"
    assert rt.free(0xDEAD) == 107000
    assert [rt.free(pointers["d0"]), rt.free(pointers["d0"])] == [0, 107000]
    assert [rt.free_host(pointers["h0"]), rt.free_host(pointers["h0"])] == [0, 107000]


def test_behaviour_15_out_of_memory(fake_cann: Any) -> None:
    fake_cann.configure(memory_bytes=1 << 20)
    acl = fake_cann.acl
    acl.init()
    acl.rt.set_device(0)
    free, total, code = acl.rt.get_mem_info(1)
    assert (free, total, code) == (1 << 20, 1 << 20, 0)
    assert acl.rt.malloc((1 << 20) + 1, 0) == (0, 207001)
    first = ok(acl.rt.malloc(600_000, 0))
    assert acl.rt.malloc(600_000, 0) == (0, 207001)
    assert acl.rt.get_mem_info(1)[0] < 500_000
    assert acl.rt.free(first) == 0
    assert acl.rt.malloc(600_000, 0)[1] == 0


def test_behaviour_15_a_negative_size_is_a_huge_one(device: Any) -> None:
    assert device.rt.malloc(-1, 0) == (0, 207001)
    assert device.rt.malloc_host(-1) == (0, 207001)


def test_blocks_are_aligned_and_not_cleared(device: Any, pointers: dict[str, int]) -> None:
    assert pointers["d0"] % 64 == pointers["d1"] % 64 == 0
    rt = device.rt
    assert rt.memcpy(pointers["h0"], SIZE, pointers["d0"], SIZE, D2H) == 0
    assert device.util.ptr_to_bytes(pointers["h0"], SIZE) == b"\xcd" * SIZE


def test_behaviour_16_more_than_the_target_takes(device: Any, pointers: dict[str, int]) -> None:
    source, target = pointers["h0"], pointers["d0"]
    assert device.rt.memcpy(target, 100, source, 101, H2D) == 107000
    assert device.rt.memcpy_async(target, 100, source, 101, H2D, 0) == 107000
    assert device.rt.memset(target, 100, 0, 101) == 107000
    assert device.rt.memcpy(target, 100, source, 100, H2D) == 0
    assert device.rt.memcpy(target, 100, source, 0, H2D) == 0, "nothing to do is no error"


@pytest.mark.parametrize("kind", [-1, 6, 100])
def test_behaviour_17_null_pointers_and_unknown_kinds(
    device: Any, pointers: dict[str, int], kind: int
) -> None:
    source, target = pointers["h0"], pointers["d0"]
    assert device.rt.memcpy(0, SIZE, source, SIZE, H2D) == 100000
    assert device.rt.memcpy(target, SIZE, 0, SIZE, H2D) == 100000
    assert device.rt.memcpy(target, SIZE, source, SIZE, kind) == 100000


@pytest.mark.parametrize(
    ("target", "source", "right"),
    [
        ("d0", "h0", {H2D, BY_ADDRESS, H2BUF2D}),
        ("h0", "d0", {D2H, BY_ADDRESS}),
        ("d0", "d1", {D2D, BY_ADDRESS}),
        ("h0", "h1", {H2H, BY_ADDRESS}),
    ],
)
def test_behaviour_18_kind_against_addresses(
    fake_cann: Any, device: Any, pointers: dict[str, int], target: str, source: str, right: set[int]
) -> None:
    where, whence = pointers[target], pointers[source]
    for kind in range(6):
        code = device.rt.memcpy(where, SIZE, whence, SIZE, kind)
        assert code == (0 if kind in right else 107000), f"kind {kind}"
    assert fake_cann.violations()


@pytest.mark.parametrize("beyond", ["target", "source"])
def test_behaviour_18_beyond_the_block(device: Any, pointers: dict[str, int], beyond: str) -> None:
    """dst_max is what the caller says; the table knows better."""
    target, source = pointers["d0"], pointers["h0"]
    if beyond == "target":
        large = ok(device.rt.malloc_host(2 * SIZE))
        assert device.rt.memcpy(target, 2 * SIZE, large, SIZE + 1, H2D) == 107000
        assert device.rt.memcpy(target + 1, SIZE, large, SIZE, H2D) == 107000
    else:
        large = ok(device.rt.malloc(2 * SIZE, 0))
        assert device.rt.memcpy(large, 2 * SIZE, source, SIZE + 1, H2D) == 107000
    assert device.rt.memset(target, 2 * SIZE, 0, SIZE + 1) == 107000


def test_behaviour_18_freed_memory(device: Any, pointers: dict[str, int]) -> None:
    device.rt.free(pointers["d0"])
    assert device.rt.memcpy(pointers["d0"], SIZE, pointers["h0"], SIZE, H2D) == 107000
    device.rt.free_host(pointers["h0"])
    assert device.rt.memcpy(pointers["d1"], SIZE, pointers["h0"], SIZE, H2D) == 107000


def test_behaviour_19_no_bytes_from_a_device_pointer(
    fake_cann: Any, device: Any, pointers: dict[str, int]
) -> None:
    with pytest.raises(FollowedBadPointer):
        device.util.ptr_to_bytes(pointers["d0"], SIZE)
    with pytest.raises(FollowedBadPointer):
        device.util.ptr_to_bytes(pointers["h0"], SIZE + 1)
    device.rt.free_host(pointers["h0"])
    with pytest.raises(FollowedBadPointer):
        device.util.ptr_to_bytes(pointers["h0"], SIZE)
    assert len(fake_cann.violations()) == 3


def test_behaviour_19_bytes_have_to_be_kept(
    fake_cann: Any, device: Any, pointers: dict[str, int]
) -> None:
    kept = bytes(range(256))
    good = device.util.bytes_to_ptr(kept)
    bad = device.util.bytes_to_ptr(np.arange(64, dtype=np.float32).tobytes())
    assert device.rt.memcpy(pointers["d0"], SIZE, good, SIZE, H2D) == 0
    assert device.rt.memcpy(pointers["d0"], SIZE, bad, SIZE, H2D) == 107000
    del kept
    assert device.rt.memcpy(pointers["d0"], SIZE, good, SIZE, H2D) == 107000
    assert fake_cann.violations()


def test_behaviour_19_conversions_take_what_they_say(device: Any) -> None:
    with pytest.raises(ValueError, match="needs bytes"):
        device.util.bytes_to_ptr(bytearray(4))
    deprecated = pytest.warns(DeprecationWarning, match="numpy_to_ptr is deprecated")
    with deprecated, pytest.raises(ValueError, match="needs an ndarray"):
        device.util.numpy_to_ptr(b"1234")


def test_a_result_may_be_written_into_bytes(device: Any, pointers: dict[str, int]) -> None:
    """As the manual's samples do it, though Python calls bytes immutable."""
    target = np.zeros(SIZE, np.uint8).tobytes()
    assert device.rt.memset(pointers["d0"], SIZE, 7, SIZE) == 0
    pointer = device.util.bytes_to_ptr(target)
    assert device.rt.memcpy(pointer, SIZE, pointers["d0"], SIZE, D2H) == 0
    assert target == b"\x07" * SIZE
    larger = ok(device.rt.malloc(2 * SIZE, 0))
    assert device.rt.memcpy(pointer, 2 * SIZE, larger, SIZE + 1, D2H) == 107000


def test_other_host_memory_is_reached_but_never_blindly(
    device: Any, pointers: dict[str, int]
) -> None:
    array = np.arange(32, dtype=np.int64)
    assert device.rt.memcpy(pointers["d0"], SIZE, array.ctypes.data, 256, H2D) == 0
    back = np.zeros_like(array)
    assert device.rt.memcpy(back.ctypes.data, 256, pointers["d0"], 256, D2H) == 0
    assert (back == array).all()
    assert device.rt.memcpy(pointers["d0"], SIZE, 0x10, 16, H2D) == 107000


def test_asynchronous_copies(device: Any, pointers: dict[str, int]) -> None:
    rt, stream = device.rt, ok(device.rt.create_stream())
    ones = b"\x01" * SIZE
    assert rt.memcpy_async(pointers["h0"], SIZE, pointers["h1"], SIZE, H2H, stream) == 207000
    # from ordinary host memory it is done when the call returns
    assert rt.memcpy_async(pointers["d0"], SIZE, device.util.bytes_to_ptr(ones), SIZE, H2D, 0) == 0
    # into page-locked memory it is done after synchronising
    assert rt.memcpy_async(pointers["h0"], SIZE, pointers["d0"], SIZE, D2H, stream) == 0
    assert device.util.ptr_to_bytes(pointers["h0"], SIZE) == b"\xcd" * SIZE
    assert rt.synchronize_stream(stream) == 0
    assert device.util.ptr_to_bytes(pointers["h0"], SIZE) == ones


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.binary(min_size=1, max_size=SIZE), offset=st.integers(0, SIZE))
def test_what_goes_in_comes_out(
    device: Any, pointers: dict[str, int], data: bytes, offset: int
) -> None:
    """Through host, device, device, host; or refused, exactly if it does not fit."""
    count, fits = len(data), offset + len(data) <= SIZE
    source, rt = device.util.bytes_to_ptr(data), device.rt
    target = pointers["d0"] + offset
    assert (rt.memcpy(target, count, source, count, H2D) == 0) == fits
    if fits:
        assert rt.memcpy(pointers["d1"], SIZE, target, count, D2D) == 0
        assert rt.memcpy(pointers["h0"], SIZE, pointers["d1"], count, D2H) == 0
        assert device.util.ptr_to_bytes(pointers["h0"], count) == data
