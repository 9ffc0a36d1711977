"""Where workloads are prepared and timed: in this process, or in a worker that may die.

`LocalExecutor` is for tests and for modules that only live in this process. `ProcessExecutor`
keeps a long-lived worker process (see `worker`): a workload that crashes or hangs takes the
worker with it, not the sweep, and the next request starts another one.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from ..backends import malloc_env
from ..backends.base import Backend, ChainWorkload, FileWorkload, Runner, Workload
from ..errors import BackendError, MeasurementError
from ..records import MeasurementPolicy
from . import memory

START_TIMEOUT_S = 180.0
"""Starting includes importing the backend's libraries from a cold disk."""
WATCH_S = 0.2
"""How often a child that lets one wait is looked at; shorter requests are left in peace."""
WORKER = f"{__package__}.worker"
TAIL_BYTES = 2000
"""How much of the child's output is kept, to say why it died."""


@runtime_checkable
class RemoteWorkload(Protocol):
    """A workload that a measuring process of its own kind makes from what it is told."""

    @property
    def key(self) -> str: ...

    def to_json(self) -> dict[str, Any]: ...


class Executor(Protocol):
    """Prepared workloads by key. All methods raise `MeasurementError` for a workload that
    cannot be measured, and `BackendError` if the backend itself cannot be used."""

    def prepare(self, workload: Workload | RemoteWorkload) -> None: ...

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        """Seconds for one execution, by clock, over `loops` executions."""
        ...

    def release(self, key: str) -> None:
        """Forget a workload; one that is not prepared is no error."""
        ...

    def renew(self) -> None:
        """Release everything and, where the executor has a process of its own, take a new one."""
        ...

    def close(self) -> None:
        """Release everything. Safe to call twice."""
        ...


class LocalExecutor:
    """A `Executor` in this process."""

    def __init__(self, backend: Backend, policy: MeasurementPolicy) -> None:
        self.backend, self.policy = backend, policy
        self._runners: dict[str, Runner] = {}

    def prepare(self, workload: Workload | RemoteWorkload) -> None:
        if isinstance(workload, RemoteWorkload) or not isinstance(workload, self.backend.accepts):
            raise BackendError(f"{self.backend.name} cannot run a {type(workload).__name__}")
        self.release(workload.key)
        try:
            self._runners[workload.key] = self.backend.prepare(workload, self.policy)
        except MeasurementError:
            raise
        except Exception as error:
            raise MeasurementError(_phrase(error), "prepare") from error

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        try:
            return self._runners[key].run(loops)
        except MeasurementError:
            raise
        except Exception as error:
            raise MeasurementError(_phrase(error), "run") from error

    def release(self, key: str) -> None:
        runner = self._runners.pop(key, None)
        if runner is not None:
            runner.close()

    def renew(self) -> None:
        self.close()

    def close(self) -> None:
        for key in list(self._runners):
            self.release(key)


def _phrase(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def workload_to_json(workload: Workload | RemoteWorkload) -> dict[str, Any]:
    """A workload as it crosses to the child. Raises `BackendError` for a module, which only
    pickle could carry."""
    if isinstance(workload, RemoteWorkload):
        return workload.to_json()
    if isinstance(workload, ChainWorkload):
        return {
            "key": workload.key,
            "chain": workload.chain.to_json(),
            "input_gradient": workload.input_gradient,
        }
    if isinstance(workload, FileWorkload):
        path = str(workload.path.absolute())
        return {"key": workload.key, "path": path, "input_shape": list(workload.input_shape)}
    raise BackendError(f"a {type(workload).__name__} cannot be timed in another process")


class ProcessExecutor:
    """A `Executor` in a child process that is started on first use and after each death.

    `backend_text` is what `backends.registry.open_backend` takes. A request that takes longer
    than `timeout_s` ends the child (stage `timeout`); a child that dies, takes more than
    `memory_bytes` (default: most of what is free) or answers nonsense gives stage `crash`.
    All name the workload that was asked for; the other workloads are prepared again, each
    when it is next run. `module` is the process's: `child`, or one that understands more
    workloads.
    """

    def __init__(
        self,
        backend_text: str,
        policy: MeasurementPolicy,
        timeout_s: float,
        memory_bytes: int | None = None,
        module: str = WORKER,
    ) -> None:
        self.backend_text, self.policy, self.timeout_s = backend_text, policy, timeout_s
        self.memory_bytes, self.module = memory_bytes, module
        self.process_affinity: Mapping[str, Any] = {}
        """Processors and priority that the child reached."""
        self._wanted: dict[str, Workload | RemoteWorkload] = {}
        self._prepared: set[str] = set()
        self._child: _Child | None = None

    def prepare(self, workload: Workload | RemoteWorkload) -> None:
        workload_to_json(workload)  # refuses before anything starts
        self._wanted[workload.key] = workload
        self._prepared.discard(workload.key)
        self._ready(workload.key)

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        if key not in self._prepared:
            self._ready(key)
        answer = self._ask({"op": "run", "key": key, "loops": loops})
        try:
            return {clock: float(seconds) for clock, seconds in answer["seconds"].items()}
        except (KeyError, AttributeError, TypeError, ValueError):
            self._drop()  # whatever it is, it is not the process that was started
            raise MeasurementError("the measuring process sent no times", "crash") from None

    def release(self, key: str) -> None:
        self._wanted.pop(key, None)
        if key in self._prepared:
            self._prepared.discard(key)
            with suppress(MeasurementError):  # a child that dies here has released it, too
                self._ask({"op": "release", "key": key})

    def renew(self) -> None:
        self.close()

    def close(self) -> None:
        self._wanted.clear()
        self._drop(kind=True)

    def _ready(self, key: str) -> None:
        self._ask({"op": "prepare", "workload": workload_to_json(self._wanted[key])})
        self._prepared.add(key)

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._child is None:
            self._child = self._started()
        try:
            answer = self._child.ask(request, self.timeout_s)
        except BaseException:  # Ctrl-C, too: the answer would be taken for the next request's
            self._drop()
            raise
        if answer.get("error", {}).get("stage") == "crash":  # the device is lost to this child
            self._drop(kind=True)
        return _unwrapped(answer)

    def _started(self) -> _Child:
        child = _Child(self.policy.threads, self.memory_bytes or memory.allowance(), self.module)
        opening = {"op": "open", "backend": self.backend_text, "policy": self.policy.to_json()}
        try:
            answer = child.ask(opening, START_TIMEOUT_S)
        except MeasurementError as error:
            child.close(kind=False)
            raise BackendError(f"the measuring process did not start: {error}") from error
        except BaseException:
            child.close(kind=False)
            raise
        if "error" in answer:
            child.close(kind=True)
            raise BackendError(str(answer["error"]["reason"]))
        self.process_affinity = answer.get("process_affinity", {})
        return child

    def _drop(self, kind: bool = False) -> None:
        self._prepared.clear()
        child, self._child = self._child, None
        if child is not None:
            child.close(kind)


def _unwrapped(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if "error" in answer:
        raise MeasurementError(answer["error"]["reason"], answer["error"]["stage"])
    return answer


class _Child:
    """The process, its two private pipes, and what it printed lately."""

    def __init__(self, threads: int, memory_bytes: int, module: str = WORKER) -> None:
        self._memory_bytes = memory_bytes
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._output, output = os.pipe()
        theirs = (requests, answers, output)
        try:
            self._process = subprocess.Popen(
                _command(requests, answers, module),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(requests, answers),
                env=_environment(threads),
                start_new_session=True,  # Ctrl-C is the parent's, and the group can be killed
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self._printed = b""
        self._unread = b""

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """One request, one answer. Raises `MeasurementError` (`timeout`, `crash`)."""
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._crash() from None
        line = self._line(time.monotonic() + timeout_s, timeout_s)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise MeasurementError("the measuring process sent no JSON document", "crash")
        return answer

    def _line(self, deadline: float, timeout_s: float) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            selector.register(self._output, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                left = deadline - time.monotonic()
                ready = selector.select(min(max(left, 0), WATCH_S))
                if not ready and left <= 0:
                    raise MeasurementError(f"no answer within {timeout_s:g} s", "timeout")
                if not ready:
                    self._watch()
                for key, _ in ready:
                    self._read(key.fd, selector)
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _read(self, descriptor: int, selector: selectors.BaseSelector) -> None:
        data = os.read(descriptor, 65536)
        if descriptor == self._answers:
            self._unread += data
            if not data:
                raise self._crash()
        elif data:
            self._printed = (self._printed + data)[-TAIL_BYTES:]
        else:
            selector.unregister(descriptor)

    def _watch(self) -> None:
        """A process that eats the machine is ended before the machine is."""
        taken = memory.taken(self._process.pid)
        if taken > self._memory_bytes:
            limit, size = self._memory_bytes / 2**30, taken / 2**30
            raise MeasurementError(
                f"the measuring process took {size:.1f} GiB of memory, more than {limit:.1f} GiB",
                "crash",
            )

    def _crash(self) -> MeasurementError:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return MeasurementError("the measuring process closed its pipe", "crash")
        self._read_what_is_left()
        last = self._printed.decode(errors="replace").strip().splitlines()[-1:]
        said = f"; it said: {last[0]}" if last else ""
        return MeasurementError(
            f"the measuring process ended with {_ending(status)}{said}", "crash"
        )

    def _read_what_is_left(self) -> None:
        os.set_blocking(self._output, False)
        with suppress(BlockingIOError):
            while data := os.read(self._output, 65536):
                self._printed = (self._printed + data)[-TAIL_BYTES:]

    def close(self, kind: bool) -> None:
        """End the process: by the end of its requests if `kind`, at once otherwise. The group
        is killed in any case, so that nothing it started stays behind."""
        os.close(self._requests)
        if kind:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._answers)
        os.close(self._output)

    def _close_pipes(self) -> None:
        for descriptor in (self._requests, self._answers, self._output):
            os.close(descriptor)


def _ending(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-status).name}"
    return f"signal {-status}"


def _command(requests: int, answers: int, module: str) -> list[str]:
    words = (requests, answers, os.getpid())
    return [sys.executable, "-P", "-m", module, *map(str, words)]


def _environment(threads: int) -> dict[str, str]:
    """The parent's, with its import path (the package may be importable only through it), the
    thread counts that libraries read when they load, and a heap that is kept."""
    environment = malloc_env.keeping(os.environ)
    path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109
    environment["PYTHONPATH"] = os.pathsep.join(path)
    if threads > 0:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = str(threads)
    return environment
