"""The Dask cluster that a service gives its jobs to: one that is there, or one of this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..errors import UsageError
from .security import security_for
from .worker import PRELOAD, require_server

LOCAL = "local"
CONNECT_S = 10.0
LOOPBACK = "tcp://127.0.0.1"


class Cluster(Protocol):
    """Where jobs go."""

    def connect(self) -> Any:
        """A `distributed.Client`. Raises `OSError` while nobody answers."""

    def close(self) -> None:
        """End what was started for this service alone."""


@dataclass
class RemoteCluster:
    """A scheduler that somebody else has started."""

    address: str
    security: Any = field(init=False)

    def __post_init__(self) -> None:
        self.security = security_for(self.address)

    def connect(self) -> Any:
        from distributed import Client

        return Client(self.address, security=self.security, timeout=CONNECT_S, set_as_default=False)

    def close(self) -> None:
        """The scheduler is not ours."""


@dataclass
class LocalCluster:
    """A scheduler in this process and one worker on this machine, which has every backend that
    works here. It sees the service's own folder of artifacts: nothing has to be sent."""

    db: str
    folder: Path
    _cluster: Any = None

    def connect(self) -> Any:
        from distributed import Client
        from distributed import LocalCluster as Dask

        if self._cluster is None:
            self._cluster = Dask(
                n_workers=1,
                threads_per_worker=1,
                processes=True,
                memory_limit=None,
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
                preload=[PRELOAD],
                preload_argv=[f"--folder={self.folder}"],
                env={"RANKWISE_DB": self.db},
            )
        return Client(self._cluster, timeout=CONNECT_S, set_as_default=False)

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.close()


def open_cluster(text: str, db: str, folder: Path) -> Cluster:
    """What `--cluster` names. Raises what `check_cluster` does."""
    check_cluster(text, db)
    return LocalCluster(db, folder) if text == LOCAL else RemoteCluster(text)


def check_cluster(text: str, db: str) -> None:
    """Raise `UsageError` for what is no cluster, for a store that other machines cannot reach, and
    for a scheduler that anybody can."""
    security_for(LOOPBACK if text == LOCAL or "://" not in text else text)
    if text == LOCAL:
        return
    if "://" not in text:
        raise UsageError(f"--cluster takes tcp://HOST:PORT, tls://HOST:PORT or local, not {text!r}")
    require_server(db)
