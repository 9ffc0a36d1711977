"""The program of a worker process: `python -m rankwise.profiler.worker REQUESTS ANSWERS PARENT`.

REQUESTS and ANSWERS are descriptors of private pipes, PARENT the process to die with. One
JSON document a line each way: `open` (once, first), `prepare`, `run`, `release`; or, without
any of these, `names` and `try` (see `probe_backends`). Whatever libraries print goes to standard
error, so no output of theirs can be taken for an answer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from ..backends.base import ChainWorkload, FileWorkload, Workload
from ..backends.registry import open_backend
from ..errors import MeasurementError
from ..ops.chain import Chain
from ..ops.made_up import InputSpec
from ..records import MeasurementPolicy
from .affinity import offer_to_oom_killer, process_affinity
from .executor import LocalExecutor
from .probe_backends import names_in, try_out
from .timing_log import timed

PR_SET_PDEATHSIG = 1
Answer = dict[str, Any]
ReadWorkload = Callable[[Mapping[str, Any]], Workload]


class Server:
    """Answers requests with a `LocalExecutor`."""

    def __init__(self, read: ReadWorkload) -> None:
        self._read = read
        self._executor: LocalExecutor | None = None
        self._affinity = ExitStack()
        self._backend = ""
        self._operations: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "open": self._open,
            "prepare": self._prepare,
            "run": self._run,
            "release": self._release,
            "names": self._names,
            "try": self._try,
        }

    @property
    def executor(self) -> LocalExecutor:
        if self._executor is None:
            raise MeasurementError("the first request has to be `open`", "prepare")
        return self._executor

    def answer(self, request: Mapping[str, Any]) -> Answer:
        """Answer one request. Errors are answers, too; only the death of the process is none."""
        try:
            return self._operations[request["op"]](request)
        except MeasurementError as error:
            return {"error": {"stage": error.stage, "reason": str(error)}}
        except Exception as error:
            reason = str(error) or type(error).__name__
            return {"error": {"stage": "prepare", "reason": reason}}

    def _open(self, request: Mapping[str, Any]) -> Answer:
        policy = MeasurementPolicy.from_json(request["policy"])
        reached = self._affinity.enter_context(process_affinity(policy.threads))
        self._backend = request["backend"]
        self._executor = LocalExecutor(open_backend(self._backend), policy)
        return {"process_affinity": reached}

    def _prepare(self, request: Mapping[str, Any]) -> Answer:
        self.executor.prepare(self._read(request["workload"]))
        return {}

    def _run(self, request: Mapping[str, Any]) -> Answer:
        with timed(self._backend):
            return {"seconds": dict(self.executor.run(request["key"], request["loops"]))}

    def _release(self, request: Mapping[str, Any]) -> Answer:
        self.executor.release(request["key"])
        return {}

    def _names(self, request: Mapping[str, Any]) -> Answer:
        return {"names": names_in(request["family"])}

    def _try(self, request: Mapping[str, Any]) -> Answer:
        backend = try_out(request["backend"])
        fingerprint = backend.fingerprint.to_json() if backend.fingerprint else None
        return {"reason": backend.reason, "fingerprint": fingerprint}

    def close(self) -> None:
        if self._executor is not None:
            self._executor.close()
        self._affinity.close()


def workload_from_json(document: Mapping[str, Any]) -> Workload:
    """Return the workload of a document of `process_executor.workload_to_json`."""
    if "chain" in document:
        chain, floats = Chain.from_json(document["chain"]), map(tuple, document["floats"])
        return ChainWorkload(document["key"], chain, document["input_gradient"], tuple(floats))
    path, shape = Path(document["path"]), tuple(document["input_shape"])
    inputs = tuple(map(InputSpec.from_json, document["inputs"]))
    return FileWorkload(document["key"], path, shape, inputs, document["dtype"])


def serve(requests: IO[bytes], answers: IO[bytes], read: ReadWorkload = workload_from_json) -> None:
    """Answer every line until the requests end."""
    server = Server(read)
    for line in requests:
        answers.write(json.dumps(server.answer(json.loads(line))).encode() + b"\n")
        answers.flush()
    server.close()


def die_with(parent: int) -> None:
    """Die when the parent does (Linux); elsewhere the worker ends with its requests."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def main(arguments: list[str], read: ReadWorkload = workload_from_json) -> None:
    """Run a worker. `read` makes a workload of a document; other packages bring their own."""
    requests, answers, parent = map(int, arguments)
    die_with(parent)
    offer_to_oom_killer()
    os.dup2(2, 1)
    with os.fdopen(requests, "rb") as lines, os.fdopen(answers, "wb") as replies:
        serve(lines, replies, read)


if __name__ == "__main__":
    main(sys.argv[1:])
