"""An executor whose workloads live in a worker process that may die.

A workload that crashes or hangs takes the worker with it, not the sweep: the next request starts
another worker (`worker_process` is its parent's side, `worker` the program that it runs).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..backends.base import ChainWorkload, FileWorkload, Workload
from ..errors import BackendError, MeasurementError
from ..records import MeasurementPolicy
from . import memory
from .executor import RemoteWorkload
from .worker_process import WORKER, WorkerProcess

START_TIMEOUT_S = 180.0
"""Seconds that a start may take; it imports the backend's libraries from a cold disk."""


def workload_to_json(workload: Workload | RemoteWorkload) -> dict[str, Any]:
    """Return a workload as it is sent to the worker. Raises `BackendError` for a module, which
    only pickle could carry."""
    if isinstance(workload, RemoteWorkload):
        return workload.to_json()
    if isinstance(workload, ChainWorkload):
        return {
            "key": workload.key,
            "chain": workload.chain.to_json(),
            "input_gradient": workload.input_gradient,
            "floats": workload.floats,
        }
    if isinstance(workload, FileWorkload):
        return {
            "key": workload.key,
            "path": str(workload.path.absolute()),
            "input_shape": list(workload.input_shape),
            "inputs": [spec.to_json() for spec in workload.inputs],
            "dtype": workload.dtype,
        }
    raise BackendError(f"a {type(workload).__name__} cannot be timed in another process")


class ProcessExecutor:
    """An `Executor` in a worker process, which starts on first use and again after each death.

    `backend_text` is what `backends.registry.open_backend` takes. A request that takes longer
    than `timeout_s` ends the worker (stage `timeout`); a worker that dies, takes more than
    `memory_bytes` (default: most of what is free) or answers nonsense gives stage `crash`.
    The error belongs to the workload that was asked for; the others are prepared again when they
    are next run. `module` is what the worker runs: `worker`, or a program that understands more
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
        """Processors and priority that the worker reached."""
        self.worker: WorkerProcess | None = None
        self._workloads: dict[str, Workload | RemoteWorkload] = {}
        self._prepared: set[str] = set()

    def prepare(self, workload: Workload | RemoteWorkload) -> None:
        workload_to_json(workload)  # refuses before anything starts
        self._workloads[workload.key] = workload
        self._prepared.discard(workload.key)
        self._prepare(workload.key)

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        if key not in self._prepared:
            self._prepare(key)
        answer = self._ask({"op": "run", "key": key, "loops": loops})
        try:
            return {clock: float(seconds) for clock, seconds in answer["seconds"].items()}
        except (KeyError, AttributeError, TypeError, ValueError):
            self._stop_worker()  # whatever answers is not the program that was started
            raise MeasurementError("the measuring process sent no times", "crash") from None

    def release(self, key: str) -> None:
        self._workloads.pop(key, None)
        if key in self._prepared:
            self._prepared.discard(key)
            with suppress(MeasurementError):  # a worker that dies here has released it, too
                self._ask({"op": "release", "key": key})

    def renew(self) -> None:
        self.close()

    def close(self) -> None:
        self._workloads.clear()
        self._stop_worker(gently=True)

    def _prepare(self, key: str) -> None:
        self._ask({"op": "prepare", "workload": workload_to_json(self._workloads[key])})
        self._prepared.add(key)

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.worker is None:
            self.worker = self._started()
        try:
            answer = self.worker.ask(request, self.timeout_s)
        except BaseException:  # Ctrl-C, too: the answer would be taken for the next request's
            self._stop_worker()
            raise
        error = answer.get("error")
        if not error:
            return answer
        if error["stage"] == "crash":  # the device is lost to this worker
            self._stop_worker(gently=True)
        raise MeasurementError(error["reason"], error["stage"])

    def _started(self) -> WorkerProcess:
        memory_bytes = self.memory_bytes or memory.allowance()
        worker = WorkerProcess(self.policy.threads, memory_bytes, self.module)
        opening = {"op": "open", "backend": self.backend_text, "policy": self.policy.to_json()}
        try:
            answer = worker.ask(opening, START_TIMEOUT_S)
        except MeasurementError as error:
            worker.close(gently=False)
            raise BackendError(f"the measuring process did not start: {error}") from error
        except BaseException:
            worker.close(gently=False)
            raise
        if "error" in answer:
            worker.close(gently=True)
            raise BackendError(str(answer["error"]["reason"]))
        self.process_affinity = answer.get("process_affinity", {})
        return worker

    def _stop_worker(self, gently: bool = False) -> None:
        self._prepared.clear()
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.close(gently)
