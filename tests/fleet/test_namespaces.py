"""Two machines that really are apart: network namespaces with a link between them that is cut."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from ..service.conftest import small_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LAB, BOARD = "10.213.77.1", "10.213.77.2"
START_S = 300.0
CUT_S = 20.0
"""Longer than the scheduler waits for a heartbeat here."""
TTL = "8s"


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def until(ready: Callable[[], Any], what: str) -> Any:
    """What is true in the end."""
    deadline = time.monotonic() + START_S
    while not (found := ready()):
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.2)
    return found


class Machines:
    """Two namespaces, `lab` and `board`, and what runs in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = {name: f"rw-{os.getpid()}-{name}" for name in ("lab", "board")}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.data = folder / "postgres"
        self.db = f"postgresql://rankwise@{LAB}/postgres"

    def connect(self) -> None:
        run("ip", "netns", "add", self.names["lab"])
        run("ip", "netns", "add", self.names["board"])
        ends = {"lab": f"rwl{os.getpid()}", "board": f"rwb{os.getpid()}"}
        run("ip", "link", "add", ends["lab"], "type", "veth", "peer", "name", ends["board"])
        for name, address in (("lab", LAB), ("board", BOARD)):
            run("ip", "link", "set", ends[name], "netns", self.names[name])
            self.ip(name, "addr", "add", f"{address}/24", "dev", ends[name])
            for device in (ends[name], "lo"):
                self.ip(name, "link", "set", device, "up")
        self._end = ends["board"]

    def ip(self, name: str, *words: str) -> None:
        run("ip", "-n", self.names[name], *words)

    def link(self, state: str) -> None:
        """The board's end of the cable: up or down."""
        self.ip("board", "link", "set", self._end, state)

    def start(self, at: str, name: str, *words: str, **environment: str) -> None:
        """Start a program on a machine; each machine has a lock of its own."""
        given = {**os.environ, "RANKWISE_DB": self.db, "OMP_NUM_THREADS": "1", **environment}
        given["RANKWISE_HOST_LOCK"] = str(self.folder / f"{at}.lock")
        given["RANKWISE_TIMING_LOG"] = str(self.folder / "timings.jsonl")
        given["DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL"] = TTL
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                ["ip", "netns", "exec", self.names[at], *words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=given,
            )

    def start_database(self, binaries: Path) -> None:
        """Over TCP, because a socket in a folder would go through any cut."""
        self.data = data = Path(tempfile.mkdtemp(prefix="rankwise-pg-"))
        shutil.chown(data, "nobody", "nogroup")
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        made = [str(binaries / "initdb"), "-D", str(data), "-U", "rankwise", "-A", "trust"]
        run(*user, *made, "--no-sync", "--locale=C", "-E", "UTF8")
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {LAB}/24 trust\n")
        where = [f"-clisten_addresses={LAB}", "-cunix_socket_directories=", "-cfsync=off"]
        self.start("lab", "database", *user, str(binaries / "postgres"), "-D", str(data), *where)

    def ask(self, path: str, *words: str) -> Any:
        """What the service answers to a program on its machine; None while it does not."""
        url = f"http://127.0.0.1:8765/api/v1{path}"
        inside = ["ip", "netns", "exec", self.names["lab"], "curl", "-sS", "-m", "60", *words, url]
        answer = subprocess.run(inside, capture_output=True, text=True, check=False)
        return json.loads(answer.stdout) if answer.stdout else None

    def stop(self) -> None:
        for process in reversed(self.running.values()):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(self.data, ignore_errors=True)


@pytest.fixture
def machines(tmp_path: Path, need: Any) -> Iterator[Machines]:
    missing = [name for name in ("ip", "openssl", "curl", "setpriv") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        need("namespaces", f"network namespaces need root and {', '.join(missing) or 'more'}")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if not binaries:
        need("postgres", "PostgreSQL's server (initdb, postgres) is not installed here")
    made = Machines(tmp_path)
    try:
        try:
            made.connect()
        except subprocess.CalledProcessError as error:
            need("namespaces", f"network namespaces do not work here: {error.stderr}")
        made.start_database(binaries[-1])
        yield made
    finally:
        made.stop()


def certificates(folder: Path) -> dict[str, str]:
    """Of the script that users have."""
    script = Path(__file__).resolve().parents[2] / "examples" / "fleet" / "certificates.sh"
    run("sh", str(script), str(folder))
    names = {"CA": "ca.pem", "CERT": "me.pem", "KEY": "me.key"}
    return {f"RANKWISE_TLS_{name}": str(folder / file) for name, file in names.items()}


def overlapping(path: Path) -> tuple[int, int]:
    """Timings, and how many of them began while another one went on. One that was cut off has no
    end, and counts as long as it is known to have lasted: not at all."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    begun: dict[int, int] = {}
    spans = []
    for line in lines:
        if line["event"] == "begin":
            begun[line["pid"]] = line["at_ns"]
        else:
            spans.append((begun.pop(line["pid"]), line["at_ns"]))
    spans.sort()
    ends = accumulate((end for _, end in spans), max)
    found = sum(begin < end for (begin, _), end in zip(spans[1:], ends, strict=False))
    return len(spans), found


def test_a_board_that_is_cut_off_comes_back(machines: Machines, tmp_path: Path) -> None:
    """With certificates, and with everything else over the link, too. The job goes on when the link
    is up again, and never are there two timings at once on the board."""
    tls = certificates(tmp_path / "certificates")
    python = [sys.executable, "-P", "-m"]
    files = ["--tls-ca-file", tls["RANKWISE_TLS_CA"], "--tls-cert", tls["RANKWISE_TLS_CERT"]]
    files += ["--tls-key", tls["RANKWISE_TLS_KEY"], "--protocol", "tls", "--no-dashboard"]
    where = ["--host", LAB, "--port", "8786"]
    machines.start("lab", "scheduler", *python, "distributed.cli.dask_scheduler", *where, *files)
    scheduler = f"tls://{LAB}:8786"
    serve = ["rankwise", "serve", "--cluster", scheduler]

    def answers() -> Any:
        if (process := machines.running.get("service")) is None or process.poll() is not None:
            machines.start("lab", "service", *python, *serve, **tls)  # the database was not up yet
        return machines.ask("/session")

    assert until(answers, "the service")["fleet"]
    work = ["--backend", "fake:step=16,takes_ms=4", "--host-name", "board", "--label", "far"]
    machines.start("board", "worker", *python, "rankwise", "worker", scheduler, *work, **tls)
    [device] = until(lambda: machines.ask("/fleet")["devices"], "the board")

    model = tmp_path / "small.onnx"
    model.write_bytes(small_model().SerializeToString())
    octets = "content-type: application/octet-stream"
    content = ("--data-binary", f"@{model}", "-H", octets)
    network = machines.ask("/networks?name=small.onnx", *content)["id"]
    body = json.dumps({"network": network, "device": "label=far"})
    job = machines.ask("/profiles", "-d", body, "-H", "content-type: application/json")["id"]
    timings = tmp_path / "timings.jsonl"
    until(lambda: timings.exists() and timings.stat().st_size > 1000, "the first timings")

    machines.link("down")
    time.sleep(CUT_S)
    assert machines.ask(f"/jobs/{job}")["state"] in ("queued", "running"), "nobody is blamed"
    machines.link("up")

    ended = until(lambda: (one := machines.ask(f"/jobs/{job}"))["ended_at"] and one, "the end")
    assert ended["state"] == "done", ended["error"]
    assert ended["device"] == device["id"]
    made, found = overlapping(timings)
    assert made > 10
    assert not found, f"{found} of {made} timings began while another one went on"
    until(lambda: machines.ask("/fleet")["devices"][0]["state"] == "idle", "the board is idle")
