"""The parent's side of a worker process: its private pipes, its output, its memory and its end."""

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
from typing import Any

from ..backends import malloc_env
from ..errors import MeasurementError
from . import memory
from .environment import THREAD_VARIABLES
from .host_lock import handed_on

POLL_S = 0.2
"""Seconds between looks at the memory of a worker that has not answered; a shorter request is
never disturbed."""
WORKER = f"{__package__}.worker"
TAIL_BYTES = 2000
"""Bytes of the worker's output that are kept, to say why it died."""


class WorkerProcess:
    """A process of its own session that answers requests, one JSON document a line each way."""

    def __init__(self, threads: int, memory_bytes: int, module: str = WORKER) -> None:
        self._memory_bytes = memory_bytes
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._output, output = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, f"{requests}", f"{answers}", f"{os.getpid()}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(requests, answers, *handed_on()),
                env=worker_environment(threads),
                start_new_session=True,  # Ctrl-C is the parent's, and the group can be killed
            )
        except BaseException:
            for descriptor in (self._requests, self._answers, self._output):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (requests, answers, output):
                os.close(descriptor)
        self.printed = b""
        """The end of what the worker printed."""
        self._unread = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """Send one request, return its answer. Raises `MeasurementError` (`timeout`, `crash`)."""
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._crash() from None
        line = self._line(timeout_s)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise MeasurementError("the measuring process sent no JSON document", "crash")
        return answer

    def close(self, gently: bool) -> None:
        """End the process: by the end of its requests if `gently`, at once otherwise. The group
        is killed in any case, so that nothing it started stays behind."""
        os.close(self._requests)
        if gently:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._answers)
        os.close(self._output)

    def _line(self, timeout_s: float) -> bytes:
        """Return the next line of the answers; what it prints meanwhile goes to `printed`."""
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            selector.register(self._output, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                left = deadline - time.monotonic()
                ready = selector.select(min(max(left, 0), POLL_S))
                if not ready and left <= 0:
                    raise MeasurementError(f"no answer within {timeout_s:g} s", "timeout")
                if not ready:
                    self._check_memory()
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
            self._keep(data)
        else:
            selector.unregister(descriptor)

    def _keep(self, output: bytes) -> None:
        self.printed = (self.printed + output)[-TAIL_BYTES:]

    def _check_memory(self) -> None:
        """Raise `MeasurementError` before the worker has taken all of the machine's memory."""
        taken = memory.taken(self.pid)
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
        os.set_blocking(self._output, False)
        with suppress(BlockingIOError):
            while data := os.read(self._output, 65536):
                self._keep(data)
        last = self.printed.decode(errors="replace").strip().splitlines()[-1:]
        said = f"; it said: {last[0]}" if last else ""
        return MeasurementError(
            f"the measuring process ended with {_ending(status)}{said}", "crash"
        )


def _ending(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-status).name}"
    return f"signal {-status}"


def worker_environment(threads: int) -> dict[str, str]:
    """Return the parent's environment with its import path (the package may be importable only
    through it), the thread counts that libraries read when they load, and a heap that is kept."""
    environment = malloc_env.keeping(os.environ)
    path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109
    environment["PYTHONPATH"] = os.pathsep.join(path)
    if threads > 0:
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    return environment
