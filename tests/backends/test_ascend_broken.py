"""Adapters with the mistakes that public code makes: each has to be caught.

By what, is the fake's business: a code, an exception, a rule on its list, a handle that is left,
a wrong output, or a clock that reads something else than the device did.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from rankwise.backends import acl_device, acl_runner, atc
from rankwise.backends.acl_calls import Acl
from rankwise.backends.acl_device import AclDevice, AclProcess, Handles, process_of
from rankwise.backends.acl_runner import AclRunner
from rankwise.backends.ascend_acl import AscendAclBackend
from rankwise.backends.base import ChainWorkload, random_input
from rankwise.backends.contract import CHAINS
from rankwise.ops.chain import random_weights
from rankwise.ops.reference import reference
from rankwise.records import MeasurementPolicy

CHAIN = CHAINS["convolution"]
LOOPS = 10
Patch = pytest.MonkeyPatch
BROKEN: dict[str, Callable[[Patch], None]] = {}


def broken(name: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def note(function: Callable[[Patch], None]) -> Callable[[Patch], None]:
        BROKEN[name] = function
        return function

    return note


def found_by(cann: Any, backend: AscendAclBackend) -> list[str]:
    """All that is wrong with a whole life of a runner, in words."""
    found = []
    try:
        found += lived(cann, backend)
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
    gc.collect()
    process_of(cann.acl).stop()
    return [*found, *cann.leaks(), *cann.violations()]


def lived(cann: Any, backend: AscendAclBackend) -> list[str]:
    found = []
    policy = backend.resolve_policy(MeasurementPolicy())
    runner = backend.prepare(ChainWorkload("c", CHAIN), policy)
    seconds = runner.run(LOOPS)
    true = cann.device_s(cann.models()[-1]["path"]) + 2e-6 / LOOPS
    if seconds["device"] != pytest.approx(true, abs=40e-9):
        found.append(f"device clock {seconds['device']} instead of {true}")
    if seconds["host"] < true * 0.99:
        found.append(f"host clock {seconds['host']} below {true}")
    image = random_input((1, *CHAIN.input_shape), seed=4)
    wanted = reference(CHAIN, random_weights(CHAIN), image)
    (output,) = runner.compute([image])
    if not np.abs(output - wanted).max() <= 1e-2 * np.abs(wanted).max():
        found.append("a wrong output")
    runner.close()
    return found


@pytest.fixture
def cann(fake_cann: Any) -> Iterator[Any]:
    yield fake_cann
    if acl := sys.modules.get("acl"):
        process_of(acl).stop()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("om"))


def test_the_whole_adapter_is_found_right(cann: Any, kept: str) -> None:
    assert found_by(cann, AscendAclBackend(cache=kept)) == []


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
    patch.setattr(AclDevice, "_close", lambda self: None)
    patch.setattr(AclDevice, "use", lambda self: None)


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
    patch.setattr(Handles, "_waited", lambda self, stream: True)
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


# Clock


@broken("clock: only the enqueuing is timed")
def _(patch: Patch) -> None:
    def executed(self: AclRunner, loops: int) -> Any:
        acl = self._acl
        acl.done("rt.record_event", self._first, self._stream)
        start = time.perf_counter_ns()
        for _ in range(loops):
            acl.done("mdl.execute_async", self._model, self._in, self._out, self._stream)
        elapsed = time.perf_counter_ns() - start
        acl.done("rt.record_event", self._last, self._stream)
        acl.done("rt.synchronize_stream", self._stream)
        return acl.value("rt.event_elapsed_time", self._first, self._last), 1 + elapsed // 1000

    patch.setattr(AclRunner, "_executed", executed)


@broken("clock: the events are read before the stream was waited for")
def _(patch: Patch) -> None:
    def executed(self: AclRunner, loops: int) -> Any:
        acl = self._acl
        acl.done("rt.record_event", self._first, self._stream)
        for _ in range(loops):
            acl.done("mdl.execute_async", self._model, self._in, self._out, self._stream)
        acl.done("rt.record_event", self._last, self._stream)
        return acl.value("rt.event_elapsed_time", self._first, self._last), 10**9

    patch.setattr(AclRunner, "_executed", executed)


@broken("clock: the second event on another stream")
def _(patch: Patch) -> None:
    real = Acl.done

    def done(self: Acl, name: str, *arguments: Any) -> None:
        runner_last = name == "rt.record_event" and done.odd  # type: ignore[attr-defined]
        if name == "rt.record_event":
            done.odd = not done.odd  # type: ignore[attr-defined]
        real(self, name, *((arguments[0], 0) if runner_last else arguments))

    done.odd = False  # type: ignore[attr-defined]
    patch.setattr(Acl, "done", done)


@broken("clock: the second event before the first")
def _(patch: Patch) -> None:
    real = Acl.value

    def value(self: Acl, name: str, *arguments: Any) -> Any:
        swapped = name == "rt.event_elapsed_time"
        return real(self, name, *(reversed(arguments) if swapped else arguments))

    patch.setattr(Acl, "value", value)


@broken("clock: the first execution is in it")
def _(patch: Patch) -> None:
    executed, warm_ups = AclRunner._executed, acl_runner.WARM_UPS

    def cold(self: AclRunner, loops: int) -> Any:
        return (1.0, 1) if loops == warm_ups else executed(self, loops)

    patch.setattr(AclRunner, "_executed", cold)


@broken("clock: milliseconds taken for seconds")
def _(patch: Patch) -> None:
    executed = AclRunner._executed

    def wrong(self: AclRunner, loops: int) -> Any:
        milliseconds, nanoseconds = executed(self, loops)
        return milliseconds * 1e3, nanoseconds

    patch.setattr(AclRunner, "_executed", wrong)


# Memory


@broken("memory: the output is read before the stream was waited for")
def _(patch: Patch) -> None:
    skip_calls(patch, "rt.synchronize_stream", only_in="compute")


@broken("memory: the wrong kind of copy")
def _(patch: Patch) -> None:
    patch.setattr(acl_runner, "DEVICE_TO_HOST", 3)


@broken("memory: a copy beyond what was allocated")
def _(patch: Patch) -> None:
    copied = AclRunner._copied_out

    def too_much(self: AclRunner, tensor: Any) -> bytes:
        larger = acl_runner.Tensor(tensor.pointer, tensor.size * 4, tensor.dims, tensor.dtype)
        return copied(self, larger)

    patch.setattr(AclRunner, "_copied_out", too_much)


@broken("memory: device memory is read as if it were the host's")
def _(patch: Patch) -> None:
    def copied(self: AclRunner, tensor: Any) -> bytes:
        return bytes(self._acl.call("util.ptr_to_bytes", tensor.pointer, tensor.size))

    patch.setattr(AclRunner, "_copied_out", copied)


@broken("memory: the host's memory as an input")
def _(patch: Patch) -> None:
    real = Acl.value

    def value(self: Acl, name: str, *arguments: Any) -> Any:
        if name == "rt.malloc":
            return real(self, "rt.malloc_host", arguments[0])
        return real(self, name, *arguments)

    patch.setattr(Acl, "value", value)


@broken("memory: too small for the output")
def _(patch: Patch) -> None:
    real = Acl.value

    def value(self: Acl, name: str, *arguments: Any) -> Any:
        if name == "rt.malloc":
            return real(self, name, arguments[0] // 8, arguments[1])
        return real(self, name, *arguments)

    patch.setattr(Acl, "value", value)


# atc


@broken("atc: no --framework")
def _(patch: Patch) -> None:
    command = atc.Compiler._command
    patch.setattr(
        atc.Compiler,
        "_command",
        lambda self, order: [w for w in command(self, order) if "framework" not in w],
    )


@broken("atc: a chip that is none")
def _(patch: Patch) -> None:
    patch.setattr(AscendAclBackend, "soc", "Ascend910")


@broken("atc: a flag of a name that is no input's")
def _(patch: Patch) -> None:
    command = atc.Compiler._command
    patch.setattr(
        atc.Compiler,
        "_command",
        lambda self, order: [w.replace("=input:", "=image:") for w in command(self, order)],
    )


@broken("atc: success is believed without a look at the file")
def _(patch: Patch) -> None:
    def believing(self: atc.Compiler, order: atc.Order, place: Any, timeout_s: float) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        self._run([self.program, "--help"], self.cache, timeout_s)

    patch.setattr(atc.Compiler, "_compile", believing)


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


@pytest.mark.parametrize("name", BROKEN)
def test_is_caught(name: str, cann: Any, kept: str, tmp_path: Any, monkeypatch: Patch) -> None:
    BROKEN[name](monkeypatch)
    compiles = name.startswith("atc")
    found = found_by(cann, AscendAclBackend(cache=str(tmp_path / "om") if compiles else kept))
    print(f"\n{name}: {found[0] if found else 'NOT CAUGHT'}")
    assert found


def test_a_file_that_is_not_looked_for_by_pattern(cann: Any, tmp_path: Any) -> None:
    """Our own look-up is a pattern; one for PREFIX.om alone would find nothing."""
    cann.configure(om_name="os_arch")
    backend = AscendAclBackend(cache=str(tmp_path))
    assert found_by(cann, backend) == []


def test_an_adapter_that_finalizes_what_others_initialised(
    cann: Any, kept: str, monkeypatch: Patch
) -> None:
    acl = cann.acl
    assert acl.init() == 0
    backend = AscendAclBackend(cache=kept)
    start = AclProcess.start

    def owning(self: AclProcess) -> None:
        start(self)
        self._owner = True

    monkeypatch.setattr(AclProcess, "start", owning)
    assert found_by(cann, backend) == []
    assert acl.finalize() == 100037, "the owner finds that somebody else has finalized"
