"""Which backends work here: each runs a computation of three elements, in a child process.

Backends of one family share a child, because they share libraries that take seconds to load;
families run side by side. A backend that crashes or hangs takes its child with it, and the
others of its family get another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ..backends.base import Backend, ChainWorkload, random_input
from ..backends.registry import backend_names, family_of, found_in_family, open_backend
from ..backends.validation import one_line
from ..errors import MeasurementError
from ..ops.chain import Chain
from ..records import DeviceFingerprint, LayerSpec, MeasurementPolicy
from .executor import _Child
from .memory import allowance

TINY = LayerSpec("conv2d", 1, 1, (1, 1, 3), (1, 3), bias=False)
"""Three elements in, one out: enough to see a backend work."""
TIMEOUT_S = 20.0
"""For one backend, the import of its libraries from a cold disk included."""


@dataclass(frozen=True, slots=True)
class Present:
    """A backend, and why it cannot be used here; if it can, `reason` is empty."""

    name: str
    reason: str
    fingerprint: DeviceFingerprint | None = None


def probe_backends(timeout_s: float = TIMEOUT_S) -> list[Present]:
    """Every known backend, and those that the runtimes have beside them, by name."""
    names = sorted(backend_names(), key=lambda name: (family_of(name), name))
    families = {family: list(group) for family, group in groupby(names, family_of)}
    with ThreadPoolExecutor(len(families)) as pool:
        found = pool.map(
            lambda family: list(_family(family, families[family], timeout_s)), families
        )
        return sorted((one for part in found for one in part), key=lambda one: one.name)


def _family(family: str, names: list[str], timeout_s: float) -> Iterator[Present]:
    desk = _Desk(timeout_s)
    try:
        more = desk.ask({"op": "names", "family": family}).get("names", [])
        for name in [*names, *(other for other in more if other not in names)]:
            yield _present(name, desk.ask({"op": "try", "backend": name}))
    finally:
        desk.close()


def _present(name: str, answer: dict[str, Any]) -> Present:
    reason = str(answer.get("reason") or "")
    found = answer.get("fingerprint")
    return Present(name, reason, None if reason else DeviceFingerprint.from_json(found or {}))


class _Desk:
    """Asks a child, and takes a new one after one that died or did not answer."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._child: _Child | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._child = self._child or _Child(threads=1, memory_bytes=allowance())
        try:
            answer = dict(self._child.ask(request, self._timeout_s))
        except MeasurementError as error:
            self._drop(kind=False)
            return {"reason": str(error)}
        failed = answer.get("error")
        return {"reason": failed["reason"]} if failed else answer

    def close(self) -> None:
        self._drop(kind=True)

    def _drop(self, kind: bool) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close(kind)


# In the child


def names_in(family: str) -> list[str]:
    """Backends that the family's runtime has here; none if it cannot be asked."""
    try:
        return found_in_family(family)
    except Exception:  # whatever a broken runtime raises is said by its backends
        return []


def try_out(name: str) -> Present:
    """Open, probe, compute and time three elements."""
    try:
        backend = open_backend(name)
        reason = backend.probe() or _tried(backend)
        return Present(name, reason, None if reason else backend.fingerprint())
    except Exception as error:  # of ours, or whatever a driver raises
        return Present(name, one_line(error))


def _tried(backend: Backend) -> str:
    """Empty if three elements are computed and timed; else what went wrong."""
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
