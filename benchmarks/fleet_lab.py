"""A lab on one machine: PostgreSQL, scheduler, service and workers; each can die.

Workers of one host are on a machine of their own, as far as they know: it has a name and a lock
that no other has. Some reach the scheduler through a forwarder that can be cut.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

START_S = 90.0
FORWARDER = """
import asyncio, sys
here, there = map(int, sys.argv[1:])
async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def forward(reader, writer):
    try:
        upstream = await asyncio.open_connection("127.0.0.1", there)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, upstream[1]), pump(upstream[0], writer))
async def main():
    server = await asyncio.start_server(forward, "127.0.0.1", here)
    await server.serve_forever()
asyncio.run(main())
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def binaries() -> Path:
    """Of PostgreSQL: the newest of Debian's, or those on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    found = shutil.which("initdb")
    return debian[-1] if debian else Path(found or sys.exit("PostgreSQL is not here")).parent


@dataclass(frozen=True)
class Bench:
    """A worker: its backend, the host that it is on, its label; whether its network can be cut."""

    backend: str
    host: str
    label: str
    cut: bool = False


@dataclass
class Lab:
    """Everything, by name, in one folder. `start` starts what does not run."""

    folder: Path
    benches: Sequence[Bench]
    max_jobs: int = 1000
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.scheduler_port, self.service_port = free_port(), free_port()
        cut = [n for n, bench in enumerate(self.benches) if bench.cut]
        self.forwarders = {f"network-{n}": free_port() for n in cut}
        self.timings = self.folder / "timings.jsonl"
        # a socket's path may have a hundred letters
        self.socket = Path(f"/tmp/rankwise-fleet-{os.getpid()}")
        self.user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        for path in (self.socket, self.folder / "postgres"):
            path.mkdir(exist_ok=True)
            if self.user:
                shutil.chown(path, "nobody", "nogroup")
        self.db = f"postgresql://rankwise@/postgres?host={self.socket}"

    @property
    def commands(self) -> dict[str, Callable[[], list[str]]]:
        """What each thing is started with, in the order in which they are started."""
        rankwise = [sys.executable, "-P", "-m", "rankwise"]
        scheduler = ["--host", "127.0.0.1", "--port", f"{self.scheduler_port}", "--no-dashboard"]
        served = ["--port", f"{self.service_port}", "--max-jobs", f"{self.max_jobs}"]
        served += ["--cluster", f"tcp://127.0.0.1:{self.scheduler_port}"]
        dask = [sys.executable, "-P", "-m", "distributed.cli.dask_scheduler"]
        return {
            "database": self._postgres,
            "scheduler": lambda: [*dask, *scheduler],
            "service": lambda: [*rankwise, "serve", *served],
            **{name: lambda n=name: self._forwarder(n) for name in self.forwarders},  # type: ignore[misc]
            **{
                f"worker-{n}": lambda n=n: [*rankwise, "worker", *self._worker(n)]  # type: ignore[misc]
                for n in range(len(self.benches))
            },
        }

    def _postgres(self) -> list[str]:
        data = ["-D", str(self.folder / "postgres" / "data")]
        if not (self.folder / "postgres" / "data").exists():
            made = [str(binaries() / "initdb"), *data, "-U", "rankwise", "-A", "trust"]
            quiet: Any = {"cwd": "/", "stdout": subprocess.DEVNULL, **self.user}
            subprocess.run([*made, "--locale=C", "-E", "UTF8"], check=True, **quiet)
        (self.folder / "postgres" / "data" / "postmaster.pid").unlink(missing_ok=True)
        return [
            *(str(binaries() / "postgres"), *data, "-k", str(self.socket)),
            *("-c", "listen_addresses="),
        ]

    def _forwarder(self, name: str) -> list[str]:
        ports = (self.forwarders[name], self.scheduler_port)
        return [sys.executable, "-c", FORWARDER, *map(str, ports)]

    def _worker(self, n: int) -> list[str]:
        bench = self.benches[n]
        port = self.forwarders.get(f"network-{n}", self.scheduler_port)
        kept = ["--folder", str(self.folder / bench.host)]
        named = ["--host-name", bench.host, "--label", bench.label]
        return [f"tcp://127.0.0.1:{port}", "--backend", bench.backend, *named, *kept]

    def start(self, name: str) -> None:
        """Start it if it does not run."""
        process = self.running.get(name)
        if process is not None and process.poll() is None:
            return
        environment = {**os.environ, "RANKWISE_DB": self.db, "OMP_NUM_THREADS": "1"}
        environment["RANKWISE_HOST_LOCK"] = str(self.folder / "service.lock")
        environment.setdefault("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "30s")
        if name.startswith("worker"):
            host = self.benches[int(name.partition("-")[2])].host
            environment["RANKWISE_HOST_LOCK"] = str(self.folder / f"{host}.lock")
            environment["RANKWISE_TIMING_LOG"] = str(self.timings)
        owner: Any = self.user if name == "database" else {}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self.commands[name](),
                cwd="/" if name == "database" else self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                **owner,
            )

    def start_all(self) -> None:
        """Start whatever does not run, the database first."""
        for name in self.commands:
            self.start(name)
            if name == "database":
                self.wait_for_database()
        self.wait_for_service()

    def wait_for_database(self) -> None:
        self._wait(self._database_answers, "the database")

    def wait_for_service(self) -> None:
        self._wait(self._service_answers, "the service")

    def _database_answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(host=str(self.socket), user="rankwise", dbname="postgres").close()
        except psycopg.OperationalError:
            self.start("database")
            return False
        return True

    def _service_answers(self) -> bool:
        self.start("service")
        return self.ask("GET", "/session") is not None

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            if time.monotonic() > deadline:
                sys.exit(f"{what} does not answer; see its log in {self.folder}")
            time.sleep(0.3)

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """What the service answers; None while it does not."""
        url = f"http://127.0.0.1:{self.service_port}/api/v1{path}"
        try:
            answer = httpx.request(method, url, timeout=60, **more)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code < 500 and answer.status_code != 409 else None

    def parts(self, n: int) -> dict[str, psutil.Process]:
        """What can be killed of a worker: its nanny, Dask's worker, the job's process."""
        nanny = self.running[f"worker-{n}"]
        found: dict[str, psutil.Process] = {}
        try:
            found["nanny"] = psutil.Process(nanny.pid)
            for child in found["nanny"].children(recursive=True):
                words = " ".join(child.cmdline())
                if "spawn_main" in words:
                    found["worker"] = child
                elif "rankwise.jobs.job_worker" in words:
                    found["child"] = child
        except psutil.Error:
            pass  # it is just dying
        return found

    def stop(self) -> None:
        """End everything, the database last."""
        for name in reversed(list(self.running)):
            process = self.running[name]
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.socket, ignore_errors=True)
