"""Adapters with mistakes in what comes out: times, memory, compiled models. Each is caught."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from rankwise.backends import acl_runner, atc
from rankwise.backends.acl_calls import Acl
from rankwise.backends.acl_runner import AclRunner
from rankwise.backends.ascend_acl import AscendAclBackend

from .broken_adapters import BrokenAdapters, Life, Patch

broken = BrokenAdapters()


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
    def believing(self: atc.Compiler, _order: atc.Order, _place: Any, timeout_s: float) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        self._run([self.program, "--help"], self.cache, timeout_s)

    patch.setattr(atc.Compiler, "_compile", believing)


@pytest.mark.parametrize("name", broken)
@pytest.mark.usefixtures("finalized")
def test_is_caught(
    name: str,
    fake_cann: Any,
    om_cache: str,
    tmp_path: Path,
    wrong_in_a_life: Life,
    monkeypatch: Patch,
) -> None:
    broken[name](monkeypatch)
    cache = str(tmp_path / "om") if name.startswith("atc") else om_cache
    assert wrong_in_a_life(fake_cann, AscendAclBackend(cache=cache)), "not caught"


@pytest.mark.usefixtures("finalized")
def test_a_file_that_is_not_looked_for_by_pattern(
    fake_cann: Any, tmp_path: Path, wrong_in_a_life: Life
) -> None:
    """Our own look-up is a pattern; one for PREFIX.om alone would find nothing."""
    fake_cann.configure(om_name="os_arch")
    backend = AscendAclBackend(cache=str(tmp_path))
    assert wrong_in_a_life(fake_cann, backend) == []
