"""acl.rt: devices, contexts, streams (R 04, 05, 06)."""

from __future__ import annotations

from .calls import RET, Failed, call, pair
from .clock import Stream
from .handles import Context, Device
from .runtime import Runtime

ON_HOST = 1
"""`get_run_mode`: this process is not on the device's own processor."""


@call("acl.rt.get_device_count", "", pair())
def get_device_count(runtime: Runtime) -> int:
    return runtime.settings.devices


@call("acl.rt.get_run_mode", "", pair())
def get_run_mode(_runtime: Runtime) -> int:
    return ON_HOST


@call("acl.rt.set_device", "i", RET)
def set_device(runtime: Runtime, number: int) -> None:
    """Counted; makes the device's default context current (behaviour 6)."""
    device = _device(runtime, number)
    device.sets += 1
    runtime.make_current(_default(runtime, device))


@call("acl.rt.reset_device", "i", RET)
def reset_device(runtime: Runtime, number: int) -> None:
    """Behaviour 8. What was not given back before the last one stays a leak."""
    device = _device(runtime, number)
    _require_set(device)
    device.sets -= 1
    if not device.sets:
        _reset(runtime, device)


@call("acl.rt.reset_device_force", "i", RET)
def reset_device_force(runtime: Runtime, number: int) -> None:
    device = _device(runtime, number)
    _require_set(device)
    device.sets = 0
    _reset(runtime, device)


@call("acl.rt.get_device", "", pair(), "context")
def get_device(runtime: Runtime) -> int:
    return runtime.context().device.number


@call("acl.rt.create_context", "i", pair())
def create_context(runtime: Runtime, number: int) -> int:
    """Current for the thread at once (R 05)."""
    handle = runtime.handles.reserve()
    context = Context(handle, _device(runtime, number), is_default=False)
    runtime.handles.add(context, handle)
    runtime.make_current(context)
    return handle


@call("acl.rt.get_context", "", pair(), "context")
def get_context(runtime: Runtime) -> int:
    return runtime.context().handle


@call("acl.rt.set_context", "k", RET)
def set_context(runtime: Runtime, handle: int) -> None:
    if not handle:
        raise Failed(100000, "the context is null")
    runtime.make_current(runtime.handles.get(handle, Context, 107002))


@call("acl.rt.destroy_context", "k", RET)
def destroy_context(runtime: Runtime, handle: int) -> None:
    """Behaviour 12 (EE1017)."""
    if not handle:
        raise Failed(100000, "the context is null")
    context = runtime.handles.get(handle, Context, 107002)
    if context.is_default:
        raise Failed(107002, "EE1017: the default context is not destroyed by destroy_context")
    if context.streams:
        runtime.violation(f"a context was destroyed before its {len(context.streams)} streams")
    context.lives = False
    runtime.handles.drop(handle)


@call("acl.rt.create_stream", "", pair(), "device")
def create_stream(runtime: Runtime) -> int:
    return _new_stream(runtime)


@call("acl.rt.create_stream_with_config", "II", pair(), "device")
def create_stream_with_config(runtime: Runtime, priority: int, _flag: int) -> int:
    if priority > 7:
        raise Failed(107000, f"no priority {priority}")
    return _new_stream(runtime)


@call("acl.rt.destroy_stream", "k", RET, "context")
def destroy_stream(runtime: Runtime, handle: int) -> None:
    """Behaviours 10 and 11; a stream is synchronised first (R 06)."""
    if not handle:
        raise Failed(100000, "the stream is null")
    stream = runtime.stream(handle)
    if stream.tasks and not runtime.context().device.broken:
        runtime.violation(f"a stream was destroyed with {len(stream.tasks)} tasks in it")
    stream.abandon()
    runtime.context().streams.remove(stream)
    runtime.handles.drop(handle)


def _new_stream(runtime: Runtime) -> int:
    context, chip = runtime.context(), runtime.chip
    if chip is not None and len(runtime.handles.all(Stream)) >= chip.streams:
        raise Failed(207008, f"there are {chip.streams} streams")
    handle = runtime.handles.reserve()
    stream = Stream(handle)
    context.streams.append(stream)
    return runtime.handles.add(stream, handle)


def _device(runtime: Runtime, number: int) -> Device:
    if not 0 <= number < runtime.settings.devices:
        raise Failed(107001, f"EE1001: there are {runtime.settings.devices} devices, no {number}")
    return runtime.devices.setdefault(number, Device(number))


def _require_set(device: Device) -> None:
    if not device.sets:
        raise Failed(507007, "EE1018: reset_device without a set_device")


def _default(runtime: Runtime, device: Device) -> Context:
    if device.default is None:
        handle = runtime.handles.reserve()
        device.default = Context(handle, device, is_default=True)
        runtime.handles.add(device.default, handle)
    return device.default


def _reset(runtime: Runtime, device: Device) -> None:
    """The default context goes, and with it whatever any thread could do."""
    left = [c for _, c in runtime.handles.all(Context) if c.device is device and not c.is_default]
    if left:
        runtime.violation(f"device {device.number} was reset before {len(left)} of its contexts")
    device.broken = 0
    if device.default is not None:
        device.default.lives = False
        runtime.handles.drop(device.default.handle)
        device.default = None
