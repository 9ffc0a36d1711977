"""acl.rt: memory (R 11)."""

from __future__ import annotations

from .calls import RET, Failed, call, pair, several
from .codes import BY_ADDRESS, D2D, D2H, H2BUF2D, H2D, H2H
from .runtime import Runtime

BYTES_PER_NS = 20.0
"""Of a copy between host and device (invented)."""
TO_DEVICE, FROM_DEVICE = {H2D, D2D, H2BUF2D}, {D2H, D2D}


@call("acl.rt.malloc", "kI", pair(), "device")
def malloc(runtime: Runtime, size: int, policy: int) -> int:
    """Behaviours 13 and 15."""
    if not size:
        raise Failed(100000, "the size is 0")
    if policy > 7:
        raise Failed(100000, f"no malloc policy {policy}")
    device = runtime.context().device.number
    if size + 64 > runtime.free_bytes(device):
        raise Failed(207001, f"EL0004: {size} bytes are not free on device {device}")
    return runtime.memory.allocate(size, device)


@call("acl.rt.free", "k", RET, "context")
def free(runtime: Runtime, pointer: int) -> None:
    """Does not synchronise (R 11-02). Behaviours 13 and 14."""
    if not pointer:
        raise Failed(100000, "the pointer is null")
    runtime.outputs.settle()
    runtime.memory.release(pointer, host=False)


@call("acl.rt.malloc_host", "k", pair(), "context")
def malloc_host(runtime: Runtime, size: int) -> int:
    if not size:
        raise Failed(100000, "the size is 0")
    if size > 1 << 36:
        raise Failed(207001, f"{size} bytes are not free on the host")
    return runtime.memory.allocate_host(size)


@call("acl.rt.free_host", "k", RET)
def free_host(runtime: Runtime, pointer: int) -> None:
    if not pointer:
        raise Failed(100000, "the pointer is null")
    runtime.outputs.settle()
    runtime.memory.release(pointer, host=True)


@call("acl.rt.memcpy", "kkkki", RET, "device")
def memcpy(
    runtime: Runtime, target: int, target_max: int, source: int, count: int, kind: int
) -> None:
    """At once, whatever the streams still have to do. Behaviours 16, 17, 18."""
    _require_copy(runtime, target, target_max, source, count, kind)
    if count:
        runtime.clock.pass_time(count / BYTES_PER_NS)
        _copy(runtime, target, source, count)


@call("acl.rt.memcpy_async", "kkkkik", RET, "device")
def memcpy_async(
    runtime: Runtime,
    target: int,
    target_max: int,
    source: int,
    count: int,
    kind: int,
    stream_handle: int,
) -> None:
    """Asynchronous only between device and page-locked memory; from and to other host memory it
    returns when the copy is done (R 11)."""
    _require_copy(runtime, target, target_max, source, count, kind)
    host = [p for p in (target, source) if not runtime.memory.is_device(p)]
    if len(host) == 2:
        raise Failed(207000, "no asynchronous copy from host to host")
    if not count:
        return
    stream = runtime.stream(stream_handle)
    stream.put(
        runtime.clock,
        count / BYTES_PER_NS,
        lambda: _copy(runtime, target, source, count),
        f"a copy of {count} bytes",
    )
    if any(runtime.memory.find(pointer) is None for pointer in host):
        runtime.clock.wait_until(stream.tail_ns)
        stream.carry_out()


@call("acl.rt.memset", "kkik", RET, "device")
def memset(runtime: Runtime, pointer: int, most: int, value: int, count: int) -> None:
    if not pointer:
        raise Failed(100000, "the pointer is null")
    if count > most:
        raise Failed(107000, f"{count} bytes are more than {most}")
    runtime.memory.require(pointer, count)
    runtime.outputs.settle()
    runtime.memory.write(pointer, bytes([value & 0xFF]) * count)


@call("acl.rt.get_mem_info", "i", several(2), "context")
def get_mem_info(runtime: Runtime, attribute: int) -> tuple[int, int]:
    """(free, total); 0 and 0 of an attribute that is not known."""
    if not 0 <= attribute <= 5:
        return 0, 0
    return runtime.free_bytes(runtime.context().device.number), runtime.total_bytes


@call("acl.rt.get_device_info", "Ii", pair())
def get_device_info(runtime: Runtime, device: int, attribute: int) -> int:
    """An int64 that the binding packs into an int: memory sizes are cut off (B)."""
    chip = runtime.chip
    if device >= runtime.settings.devices or chip is None:
        raise Failed(107001, f"no device {device}")
    values = {1: 6, 101: chip.cores, 102: chip.cores, 201: 2 * chip.cores, 601: 0}
    values[301] = runtime.total_bytes
    if attribute not in values:
        raise Failed(107000, f"no device attribute {attribute}")
    return (values[attribute] + 2**31) % 2**32 - 2**31


@call("acl.rt.get_device_utilization_rate", "i", pair(dict))
def get_device_utilization_rate(runtime: Runtime, device: int) -> dict[str, int]:
    if not 0 <= device < runtime.settings.devices:
        raise Failed(107001, f"no device {device}")
    used = runtime.total_bytes - runtime.free_bytes(device)
    share = 100 * used // runtime.total_bytes
    rates = dict.fromkeys(("cube", "vector", "aicpu"), 0)
    return {f"{name}_utilization": rate for name, rate in (rates | {"memory": share}).items()}


def _require_copy(
    runtime: Runtime, target: int, target_max: int, source: int, count: int, kind: int
) -> None:
    if not target or not source:
        raise Failed(100000, "a pointer is null")
    if not H2H <= kind <= H2BUF2D:
        raise Failed(100000, f"no kind of copy {kind}")
    if count > target_max:
        raise Failed(107000, f"{count} bytes are more than {target_max}")
    if not count:
        return
    try:
        for pointer in (target, source):
            runtime.memory.require(pointer, count)
        _require_kind(runtime, target, source, kind)
    except Failed as error:
        # The real thing may copy, or fault later.
        runtime.violation(f"memcpy: {error}")
        raise


def _require_kind(runtime: Runtime, target: int, source: int, kind: int) -> None:
    """Older CANN goes by the kind, newer by the addresses: both have to say the same."""
    if kind == BY_ADDRESS:
        return
    is_device = runtime.memory.is_device
    for pointer, said, role in (
        (target, kind in TO_DEVICE, "target"),
        (source, kind in FROM_DEVICE, "source"),
    ):
        if is_device(pointer) != said:
            where = runtime.memory.describe(pointer)
            raise Failed(107000, f"kind {kind}, but the {role} is {where}")


def _copy(runtime: Runtime, target: int, source: int, count: int) -> None:
    runtime.outputs.settle()
    runtime.memory.write(target, runtime.memory.read(source, count))
