"""Which backends work here: each runs a computation of three elements, in a worker process.

Backends of one family share a worker, because they share libraries that take seconds to load;
families run side by side. A backend that crashes or hangs takes its worker with it, and the
others of its family get another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

from ..backends.base import Backend, ChainWorkload, random_input
from ..backends.registry import backend_names, family_of, found_in_family, open_backend
from ..backends.validation import one_line
from ..errors import MeasurementError
from ..ops.chain import Chain
from ..records import DeviceFingerprint, LayerSpec, MeasurementPolicy
from .memory import allowance
from .worker_process import WorkerProcess

TINY = LayerSpec("conv2d", 1, 1, (1, 1, 3), (1, 3), bias=False)
"""Three elements in, one out: enough to see a backend work."""
TIMEOUT_S = 20.0
"""Seconds for one backend, the import of its libraries from a cold disk included."""


@dataclass(frozen=True, slots=True)
class ProbedBackend:
    """A backend, and why it cannot be used here; if it can, `reason` is empty."""

    name: str
    reason: str
    fingerprint: DeviceFingerprint | None = None


def probe_backends(timeout_s: float = TIMEOUT_S) -> list[ProbedBackend]:
    """Probe every known backend, and those that the runtimes offer beside them, by name."""
    names = sorted(backend_names(), key=lambda name: (family_of(name), name))
    families = {family: list(group) for family, group in groupby(names, family_of)}
    with ThreadPoolExecutor(len(families)) as pool:
        groups = pool.map(
            lambda family: list(probe_family(family, families[family], timeout_s)), families
        )
        return sorted(chain.from_iterable(groups), key=lambda backend: backend.name)


def probe_named(names: Sequence[str], timeout_s: float = TIMEOUT_S) -> list[ProbedBackend]:
    """Probe these backends, which may have options, one after the other."""
    worker = _Worker(timeout_s)
    try:
        return [_probed(name, worker.ask({"op": "try", "backend": name})) for name in names]
    finally:
        worker.stop(gently=True)


def probe_family(family: str, names: list[str], timeout_s: float) -> Iterator[ProbedBackend]:
    """Probe the named backends of a family, and those that its runtime offers beside them."""
    worker = _Worker(timeout_s)
    try:
        more = worker.ask({"op": "names", "family": family}).get("names", [])
        for name in [*names, *(other for other in more if other not in names)]:
            yield _probed(name, worker.ask({"op": "try", "backend": name}))
    finally:
        worker.stop(gently=True)


def _probed(name: str, answer: dict[str, Any]) -> ProbedBackend:
    reason = str(answer.get("reason") or "")
    fingerprint = answer.get("fingerprint") or {}
    return ProbedBackend(name, reason, None if reason else DeviceFingerprint.from_json(fingerprint))


class _Worker:
    """A worker process that is replaced after it died or did not answer."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process: WorkerProcess | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._process = self._process or WorkerProcess(threads=1, memory_bytes=allowance())
        try:
            answer = dict(self._process.ask(request, self._timeout_s))
        except MeasurementError as error:
            self.stop(gently=False)
            return {"reason": str(error)}
        failed = answer.get("error")
        return {"reason": failed["reason"]} if failed else answer

    def stop(self, gently: bool) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close(gently)


# What follows runs in the worker.


def names_in(family: str) -> list[str]:
    """Return the backends that the family's runtime has here; none if it cannot be asked."""
    try:
        return found_in_family(family)
    except Exception:  # whatever a broken runtime raises is said by its backends
        return []


def try_out(name: str) -> ProbedBackend:
    """Open, probe, compute and time three elements."""
    try:
        backend = open_backend(name)
        reason = backend.probe() or _tried(backend)
        return ProbedBackend(name, reason, None if reason else backend.fingerprint())
    except Exception as error:  # of ours, or whatever a driver raises
        return ProbedBackend(name, one_line(error))


def _tried(backend: Backend) -> str:
    """Return what went wrong in computing and timing three elements; empty if nothing did."""
    policy = backend.resolve_policy(MeasurementPolicy())
    runner = backend.prepare(ChainWorkload("tiny", Chain((TINY,))), policy)
    try:
        outputs = runner.compute([random_input((1, *TINY.input_shape))])
        seconds = runner.run(1)
    finally:
        runner.close()
    if outputs[0].shape != (1, *TINY.output_shape):
        return f"computed an output of shape {outputs[0].shape}"
    return "" if all(s > 0 for s in seconds.values()) else "its clock stood still"
