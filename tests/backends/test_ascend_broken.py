"""Adapters with the mistakes that public code makes: each has to be caught.

By what, is the fake's business: a code, an exception, a rule on its list, a handle that is left,
a wrong output, or a clock that reads something else than the device did.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest

from rankwise.backends import acl_device
from rankwise.backends.acl_calls import Acl
from rankwise.backends.acl_device import AclDevice, AclProcess, Handles
from rankwise.backends.acl_runner import AclRunner
from rankwise.backends.ascend_acl import AscendAclBackend

from .broken_adapters import BrokenAdapters, Life, Patch

broken = BrokenAdapters()


# Return shapes


@broken("shapes: a tuple is not unpacked")
def _(patch: Patch) -> None:
    patch.setattr(Acl, "value", Acl.call)


@broken("shapes: keyword arguments")
def _(patch: Patch) -> None:
    real = Acl.value

    def value(self: Acl, name: str, *arguments: Any) -> Any:
        if name == "rt.malloc":
            return self.module.rt.malloc(arguments[0], policy=arguments[1])[0]
        return real(self, name, *arguments)

    patch.setattr(Acl, "value", value)


@broken("shapes: a constant that the module does not have")
def _(patch: Patch) -> None:
    copy = AclRunner._copy_in

    def copy_in(self: AclRunner, data: bytes) -> None:
        assert self._acl.module.rt.MEMCPY_HOST_TO_DEVICE == 1
        copy(self, data)

    patch.setattr(AclRunner, "_copy_in", copy_in)


# Order


@broken("order: no device is set, and no context made")
def _(patch: Patch) -> None:
    patch.setattr(AclDevice, "_open", lambda self: self.process.start())
    patch.setattr(AclDevice, "_close", lambda _self: None)
    patch.setattr(AclDevice, "use", lambda _self: None)


@broken("order: no init")
def _(patch: Patch) -> None:
    skip_calls(patch, "init", "finalize")


@broken("order: the stream is destroyed before what runs on it is done")
def _(patch: Patch) -> None:
    close = AclRunner.close

    def enqueue_more(self: AclRunner) -> None:
        self._acl.done("mdl.execute_async", self._model, self._in, self._out, self._stream)
        close(self)

    patch.setattr(AclRunner, "close", enqueue_more)
    patch.setattr(Handles, "_waited", lambda _self, _stream: True)
    patch.setattr(acl_device, "RELEASES", {**acl_device.RELEASES, "rt.destroy_stream": -1})


@broken("order: the device is reset before anything is given back")
def _(patch: Patch) -> None:
    release = Handles.release

    def reset_first(self: Handles) -> None:
        self.acl.call("rt.reset_device", self.device.number)
        release(self)

    patch.setattr(Handles, "release", reset_first)


@broken("order: finalize while a runner lives")
def _(patch: Patch) -> None:
    close = AclRunner.close

    def finalize_first(self: AclRunner) -> None:
        self._acl.call("finalize")
        close(self)

    patch.setattr(AclRunner, "close", finalize_first)


@broken("order: the model in another context than its execution")
def _(patch: Patch) -> None:
    def use(self: AclDevice) -> None:
        context = self.acl.value("rt.create_context", self.number)
        self.acl.done("rt.set_context", context)

    patch.setattr(AclDevice, "use", use)


@broken("order: the output is read before the stream was waited for")
def _(patch: Patch) -> None:
    skip_calls(patch, "rt.synchronize_stream", only_in="compute")


# Lifetimes


@broken("lifetimes: destroy_dataset is thought to destroy buffers")
def _(patch: Patch) -> None:
    forget(patch, "destroy_data_buffer")


@broken("lifetimes: device memory is forgotten")
def _(patch: Patch) -> None:
    forget(patch, "rt.free")


@broken("lifetimes: events are forgotten")
def _(patch: Patch) -> None:
    forget(patch, "rt.destroy_event")


@broken("lifetimes: the model stays loaded")
def _(patch: Patch) -> None:
    forget(patch, "mdl.unload")


@broken("lifetimes: everything is given back twice")
def _(patch: Patch) -> None:
    release = Handles.release

    def twice(self: Handles) -> None:
        held = list(self._held)
        release(self)
        self._held = held
        release(self)

    patch.setattr(Handles, "release", twice)


@broken("lifetimes: the bytes behind a pointer are gone when they are copied")
def _(patch: Patch) -> None:
    def copy_in(self: AclRunner, data: bytes) -> None:
        target = self._inputs[0]
        pointer = self._acl.call("util.bytes_to_ptr", bytes(bytearray(data)))
        gc.collect()
        self._acl.call("rt.memcpy", target.pointer, target.size, pointer, len(data), 1)

    patch.setattr(AclRunner, "_copy_in", copy_in)


@broken("lifetimes: reset_device is forgotten")
def _(patch: Patch) -> None:
    skip_calls(patch, "rt.reset_device")


def skip_calls(patch: Patch, *names: str, only_in: str = "") -> None:
    """These calls are left out, and thought to have worked."""
    real = Acl.call

    def call(self: Acl, name: str, *arguments: Any) -> Any:
        callers = {sys._getframe(depth).f_code.co_name for depth in (1, 2, 3)}
        if name in names and (not only_in or only_in in callers):
            return 0
        return real(self, name, *arguments)

    patch.setattr(Acl, "call", call)


def forget(patch: Patch, release: str) -> None:
    keep = Handles.keep

    def forgetful(self: Handles, name: str, handle: int) -> int:
        return handle if name == release else keep(self, name, handle)

    patch.setattr(Handles, "keep", forgetful)


@pytest.mark.usefixtures("finalized")
def test_the_whole_adapter_is_found_right(
    fake_cann: Any, om_cache: str, wrong_in_a_life: Life
) -> None:
    assert wrong_in_a_life(fake_cann, AscendAclBackend(cache=om_cache)) == []


@pytest.mark.parametrize("name", broken)
@pytest.mark.usefixtures("finalized")
def test_is_caught(
    name: str, fake_cann: Any, om_cache: str, wrong_in_a_life: Life, monkeypatch: Patch
) -> None:
    broken[name](monkeypatch)
    assert wrong_in_a_life(fake_cann, AscendAclBackend(cache=om_cache)), "not caught"


@pytest.mark.usefixtures("finalized")
def test_an_adapter_that_finalizes_what_others_initialised(
    fake_cann: Any, om_cache: str, wrong_in_a_life: Life, monkeypatch: Patch
) -> None:
    acl = fake_cann.acl
    assert acl.init() == 0
    backend = AscendAclBackend(cache=om_cache)
    start = AclProcess.start

    def owning(self: AclProcess) -> None:
        start(self)
        self._owner = True

    monkeypatch.setattr(AclProcess, "start", owning)
    assert wrong_in_a_life(fake_cann, backend) == []
    assert acl.finalize() == 100037, "the owner finds that somebody else has finalized"
