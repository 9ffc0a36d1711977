"""A PostgreSQL server of the tests' own, for whoever imports the fixture `server`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import NullPool, create_engine, text

Need = Callable[[str, str], NoReturn]
START_S = 60.0


class Server:
    """A PostgreSQL server that listens on a socket in a folder of its own, and nowhere else.

    `url()` is an empty database each time: a schema that is the only one searched.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], user: str) -> None:
        self.folder, self.process, self.user = folder, process, user
        self._numbers = count()
        self._admin = create_engine(self._url("public"), poolclass=NullPool)

    def _url(self, schema: str) -> str:
        options = f"options=-csearch_path%3D{schema}"
        return f"postgresql+psycopg://{self.user}@/postgres?host={self.folder}&{options}"

    def url(self) -> str:
        schema = f"t{next(self._numbers)}"
        with self._admin.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        return self._url(schema)

    def wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(host=str(self.folder), user=self.user, dbname="postgres").close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
        self.process.wait()


@pytest.fixture(scope="session")
def server(need: Need) -> Iterator[Server]:
    binaries = _binaries()
    if binaries is None:
        need("postgres", "PostgreSQL's server (initdb, postgres) is not installed here")
    folder = Path(tempfile.mkdtemp(prefix="rankwise-pg-"))
    # the server refuses to run as root
    user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(folder, user["user"])
    try:
        run: Any = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        data = ["-D", str(folder / "data")]
        initdb = [str(binaries / "initdb"), *data, "-U", "rankwise", "-A", "trust", "--no-sync"]
        subprocess.run([*initdb, "--locale=C", "-E", "UTF8"], check=True, **run, **user)
        quick = [f"-c{name}=off" for name in ("fsync", "full_page_writes", "autovacuum")]
        where = ["-k", str(folder), "-c", "listen_addresses="]
        process = subprocess.Popen(
            [str(binaries / "postgres"), *data, *where, *quick], **run, **user
        )
        running = Server(folder, process, "rankwise")
        try:
            running.wait()
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    """The folder with initdb and postgres: the newest of Debian's, or the one on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    on_path = shutil.which("initdb")
    found = [*([Path(on_path).parent] if on_path else []), *debian]
    usable = [p for p in found if (p / "initdb").exists() and (p / "postgres").exists()]
    return usable[-1] if usable else None
