"""A fleet that is killed: do all jobs get done, once, and never two timings at once?

    python benchmarks/fleet.py fleet.jsonl --jobs 400 --kills 200 --budget 2h

PostgreSQL, a Dask scheduler, the service and eight workers with planted fake devices of four kinds
run on this machine; two workers each share a host. While the jobs run, one thing after another is
killed (`kill -9`) and started again, as an init system would: a job's process, a worker, a nanny,
the scheduler, the service, the database; networks are cut; workers are stopped for a while, so
that their heartbeats starve. Whether two timings overlapped is read from a log that the measuring
processes write at the beginning and at the end of each timing. Kills and results are lines of the
file that is named, the lab lies in a folder beside it, and a run goes on where the last one ended.
Nothing of it rests on how fast the machine is but the time that a kill costs.
"""

from __future__ import annotations

import json
import random
import signal
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from fleet_lab import Bench, Lab
from fleet_network import write_network
from harness import Budget, Log, Row, arguments, begin, show, verdict
from sqlalchemy import create_engine, text

from rankwise.db.url import locate

KINDS = (8, 16, 24, 32)
"""Steps of the staircases: each makes another hardware."""
WORKERS = 8
TAKES_MS = 2
PREPARATIONS = 2
PATIENCE_S = 20.0
"""Without a job that ends, the next kill comes all the same."""
STARVED_S = 8.0
CUT_S = 4.0
OF_WORKERS = ("child", "worker", "nanny", "starved")
OF_ALL = ("scheduler", "service", "database", "network")
FINISH_S = 1800.0


def bench(n: int) -> Bench:
    """Two workers share a host; of each pair the first one's network can be cut."""
    backend = f"fake:step={KINDS[n % len(KINDS)]},takes_ms={TAKES_MS},seed={n}"
    return Bench(backend, f"host-{n // 2}", f"lab-{n % 2}", cut=n % 2 == 0)


class Trial:
    """Jobs and kills on a lab."""

    def __init__(self, lab: Lab, log: Log, seed: int) -> None:
        self.lab, self.log, self.rng = lab, log, random.Random(seed + len(log.of(kind="kill")))
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.down: dict[str, float] = {}
        """Networks that are cut, and when they are to be back."""

    def ask_all(self, jobs: int) -> None:
        """Ask for every job that is not done yet. Half of them are for one device, half for any
        of a kind; each measures what no other does (its batch)."""
        network = self.upload()
        devices = self.devices()
        done = {_request_key(job) for job in self.jobs() if job["state"] != "failed"}
        for number in range(jobs):
            kind, batch = number % len(KINDS), number // len(KINDS) + 1
            ours = [d for d in devices if f"step={KINDS[kind]}," in d["backend"]]
            query = f"hardware={ours[0]['fingerprint']['hardware_key']}"
            if batch % 2:
                query = f"id={ours[batch // 2 % len(ours)]['id']}"
            request = {"network": network, "device": query, "batch": batch, "kinds": ["svd"]}
            if (network, query, batch) not in done:
                self._insist("POST", "/profiles", json=request)

    def upload(self) -> str:
        path = write_network(self.lab.folder / "net.onnx")
        headers = {"content-type": "application/octet-stream"}
        sent = {"content": path.read_bytes(), "headers": headers, "params": {"name": "net.onnx"}}
        return str(self._insist("POST", "/networks", **sent)["id"])

    def devices(self) -> list[dict[str, Any]]:
        """All of them, once they have registered."""
        while len(found := self._insist("GET", "/fleet")["devices"]) < WORKERS:
            time.sleep(0.5)
        return list(found)

    def _insist(self, method: str, path: str, **more: Any) -> Any:
        while (answer := self.lab.ask(method, path, **more)) is None:
            time.sleep(0.3)
        if "detail" in answer:
            raise SystemExit(f"{path}: {answer['detail']}")
        return answer

    def jobs(self) -> list[dict[str, Any]]:
        query = {"kind": "profile", "limit": 1000}
        return list(self._insist("GET", "/jobs", params=query)["items"])

    def count(self) -> Counter[str] | None:
        """Jobs by state; None while the service does not answer."""
        answer = self.lab.ask("GET", "/jobs", params={"kind": "profile", "limit": 1000})
        return None if answer is None else Counter(job["state"] for job in answer["items"])

    def run(self, jobs: int, kills: int, budget: Budget) -> None:
        """Kill one thing after another while jobs run; at the end let all of them be done."""
        self.ask_all(jobs)
        ended_before, last = -1, time.monotonic()
        while budget.left:
            self._revive()
            states = self.count()
            if states is not None and not states["queued"] + states["running"]:
                return
            ended = ended_before if states is None else states["done"] + states["failed"]
            killed = len(self.log.of(kind="kill"))
            due = ended > ended_before and ended * kills >= killed * jobs * 0.9
            patience = PATIENCE_S if killed < kills else FINISH_S
            if killed < kills and (due or time.monotonic() - last > patience):
                ended_before, last = ended, time.monotonic()
                self.kill()
            time.sleep(self.rng.uniform(0.1, 0.6))

    def _revive(self) -> None:
        """Start what is dead, and end what lasts only a while."""
        now = time.monotonic()
        for when, what in [one for one in self.later if one[0] <= now]:
            self.later.remove((when, what))
            what()
        stopped = {name for name, when in self.down.items() if when > now}
        for name in self.lab.commands:
            if name not in stopped:
                self.lab.start(name)

    def kill(self) -> None:
        """Kill something, drawn at random."""
        what = self.rng.choice([*OF_WORKERS, *OF_ALL])
        name, hit = what, True
        if what in OF_WORKERS:
            n = self.rng.randrange(WORKERS)
            name, hit = f"worker-{n}", self._kill_part(what, n)
        elif what == "network":
            name = self.rng.choice(list(self.lab.forwarders))
            self.down[name] = time.monotonic() + CUT_S
            self._kill_process(name)
        else:
            self._kill_process(what)
        if hit:
            at_ns = time.monotonic_ns()
            self.log.add(kind="kill", what=what, name=name, at_ns=at_ns)

    def _kill_process(self, name: str) -> None:
        process = self.lab.running[name]
        process.kill()
        process.wait()

    def _kill_part(self, what: str, n: int) -> bool:
        parts = self.lab.parts(n)
        victim = parts.get("worker" if what == "starved" else what)
        if victim is None:
            return False
        try:
            if what == "starved":
                victim.suspend()
                again = time.monotonic() + STARVED_S
                self.later.append((again, lambda: _resume(victim)))
            else:
                victim.send_signal(signal.SIGKILL)
        except psutil.Error:
            return False
        return True


def _resume(victim: psutil.Process) -> None:
    with suppress(psutil.Error):
        victim.resume()


def _request_key(job: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(job["request"][name] for name in ("network", "device", "batch"))


def overlaps(path: Path) -> tuple[int, int, dict[str, list[int]]]:
    """Timings; how many of them began on a host while another was going on there; when timings
    began, by backend. One that was cut off by a kill has no end: it counts as long as it is known
    to have lasted, that is not at all."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    begun: dict[tuple[str, int], int] = {}
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    begins: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        key = line["host"], line["pid"]
        if line["event"] == "begin":
            begun[key] = line["at_ns"]
            begins[line["backend"]].append(line["at_ns"])
        elif key in begun:
            spans[line["host"]].append((begun.pop(key), line["at_ns"]))
    found = 0
    for host in spans:
        until = 0
        for start, end in sorted(spans[host]):
            found += start < until
            until = max(until, end)
    return sum(map(len, begins.values())), found, begins


def lost_s(kill: Row, lab: Lab, begins: dict[str, list[int]]) -> float | None:
    """Seconds from the kill to the next timing on the device that was hit, or on any device."""
    name = kill["name"].replace("network", "worker")
    ours = list(begins.values())
    if name.startswith("worker"):
        ours = [begins.get(lab.benches[int(name.partition("-")[2])].backend, [])]
    later = [at for ats in ours for at in ats if at > kill["at_ns"]]
    return (min(later) - kill["at_ns"]) * 1e-9 if later else None


def measured_twice(db: str) -> tuple[int, int]:
    """Candidates with a session, and those with more sessions than were asked for."""
    engine = create_engine(locate(db).engine_url)
    counted = (
        "SELECT count(*) FROM summaries s JOIN sessions e ON e.id = s.session_id "
        "GROUP BY s.workload_id, s.device_id, s.policy_id"
    )
    with engine.connect() as connection:
        counts = [row[0] for row in connection.execute(text(counted))]
    engine.dispose()
    return len(counts), sum(count > PREPARATIONS for count in counts)


def report(trial: Trial, jobs: int, kills: int, elapsed_s: float) -> None:
    lab, log = trial.lab, trial.log
    states = Counter(job["state"] for job in trial.jobs())
    requests = Counter(_request_key(job) for job in trial.jobs() if job["state"] == "done")
    timings, found, begins = overlaps(lab.timings)
    candidates, twice = measured_twice(lab.db)
    rows = []
    for what in (*OF_WORKERS, *OF_ALL):
        of_kind = log.of(kind="kill", what=what)
        lost = [s for kill in of_kind if (s := lost_s(kill, lab, begins)) is not None]
        median = statistics.median(lost) if lost else float("nan")
        rows.append((what, len(of_kind), median, max(lost, default=float("nan"))))
    show(("killed", "times", "median s to the next timing", "longest"), rows)
    killed = len(log.of(kind="kill"))
    print(f"{timings} timings, {candidates} candidates, {elapsed_s:.0f} s in this run")
    verdict("jobs done", states["done"], states["done"] >= jobs, f"{jobs}; {dict(states)}")
    verdict("kills", killed, killed >= kills, str(kills))
    verdict("jobs lost", jobs - len(requests), len(requests) == jobs, "0")
    verdict(
        "jobs done twice", sum(n > 1 for n in requests.values()), max(requests.values()) == 1, "0"
    )
    verdict("candidates measured more often than asked", twice, twice == 0, "0")
    verdict("timings that overlap on a host", found, found == 0, "0")
    log.add(kind="result", states=dict(states), kills=killed, twice=twice, overlaps=found)


def main() -> None:
    assert __doc__ is not None
    options = arguments(__doc__.splitlines()[0], jobs=400, kills=200, seed=0)
    options.no_doctor = True  # what is timed here is made up
    log, budget = begin(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; run again to go on"))
    folder = options.output.absolute().with_suffix(".lab")
    lab = Lab(folder, [bench(n) for n in range(WORKERS)], max_jobs=options.jobs + 10)
    trial, started = Trial(lab, log, options.seed), time.monotonic()
    try:
        lab.start_all()
        trial.run(options.jobs, options.kills, budget)
        trial.down.clear()
        lab.start_all()
        report(trial, options.jobs, options.kills, time.monotonic() - started)
    finally:
        lab.stop()


if __name__ == "__main__":
    main()
