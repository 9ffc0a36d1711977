"""Where workloads are prepared and timed: what every `Executor` does, and one in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from ..backends.base import Backend, Runner, Workload, own_policy
from ..errors import BackendError, MeasurementError
from ..records import MeasurementPolicy


@runtime_checkable
class RemoteWorkload(Protocol):
    """A workload of another package, which that package's worker builds from its JSON."""

    @property
    def key(self) -> str: ...

    def to_json(self) -> dict[str, Any]: ...


class Executor(Protocol):
    """Prepared workloads by key. All methods raise `MeasurementError` for a workload that
    cannot be measured, and `BackendError` if the backend itself cannot be used."""

    def prepare(self, workload: Workload | RemoteWorkload) -> None: ...

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        """Return the seconds that one execution takes, by clock, averaged over `loops`."""
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
    """An `Executor` in this process, for tests and for modules that only live here."""

    def __init__(self, backend: Backend, policy: MeasurementPolicy) -> None:
        self.backend, self.policy = backend, policy
        self.runners: dict[str, Runner] = {}

    def prepare(self, workload: Workload | RemoteWorkload) -> None:
        if isinstance(workload, RemoteWorkload) or not isinstance(workload, self.backend.accepts):
            raise BackendError(f"{self.backend.name} cannot run a {type(workload).__name__}")
        self.release(workload.key)
        with _failing_at("prepare"):
            self.runners[workload.key] = self.backend.prepare(
                workload, own_policy(self.backend, workload, self.policy)
            )

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        with _failing_at("run"):
            return self.runners[key].run(loops)

    def release(self, key: str) -> None:
        runner = self.runners.pop(key, None)
        if runner is not None:
            runner.close()

    def renew(self) -> None:
        self.close()

    def close(self) -> None:
        for key in list(self.runners):
            self.release(key)


@contextmanager
def _failing_at(stage: str) -> Iterator[None]:
    """Turn any error of a backend into a `MeasurementError` of that stage."""
    try:
        yield
    except MeasurementError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        raise MeasurementError(reason, stage) from error
