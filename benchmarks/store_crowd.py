"""Many processes write and read one store while a dashboard looks at a study beside it.

    python benchmarks/store_crowd.py /tmp/crowd.db --seconds 120

Writers do what a profile does: sessions, each round a commit. Readers ask for tables. One more
process adds trials to an Optuna study in a journal beside the store, and optuna-dashboard
(extra `dev`) serves that study, asked once a second. Prints how many samples were acknowledged,
how many are there, every error, and how long a commit and a query took at most. With a URL of
PostgreSQL in place of the path the crowd meets there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import create_engine, text

from rankwise.db import MeasurementFilter, Store
from rankwise.db.url import companion, locate
from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    LayerSpec,
    LayerUse,
    MeasurementPolicy,
    Sample,
)
from rankwise.stats import summarize_pairs

POLICY = MeasurementPolicy()
SPECS = [LayerSpec("linear", 64, 8 * n, (64,)) for n in range(1, 9)]
NETWORK = "ab" * 32
ROUNDS = 20
DASHBOARD_START_S = 60.0


def write(url: str, number: int, until: float) -> dict[str, Any]:
    """One profiler: returns how many samples were acknowledged, and what went wrong."""
    device = DeviceFingerprint.of("fake", {"chip": f"chip {number}"}, {"driver": "1"})
    rng, samples, errors, slowest = np.random.default_rng(number), 0, [], 0.0
    with Store.open(url) as store:
        while time.time() < until:
            spec = SPECS[int(rng.integers(len(SPECS)))]
            original = Candidate(spec, ORIGINAL)
            found = [Candidate(spec, Decomposition("svd", (r,))) for r in (2, 4, 8)]
            keys = [c.key for c in (original, *found)]
            seconds = rng.lognormal(-7, 0.02, (ROUNDS, len(keys)))
            try:
                session = store.sessions.begin(device, POLICY, original, found, {"load": "1"})
                for r, row in enumerate(seconds.tolist()):
                    timed = zip(keys, row, strict=True)
                    began = time.perf_counter()
                    store.sessions.add_round(session, [Sample(r, k, "host", s) for k, s in timed])
                    slowest = max(slowest, time.perf_counter() - began)
                    samples += len(row)
                pairs = zip(keys[1:], seconds.T[1:], strict=True)
                summaries = {k: summarize_pairs(seconds[:, 0], column) for k, column in pairs}
                store.sessions.end(session, summaries)
            except Exception as error:
                errors.append(str(error))
    return {"samples": samples, "errors": errors, "slowest": slowest}


def read(url: str, until: float) -> dict[str, Any]:
    """One reader: tables of one network, on all devices."""
    queries, errors, slowest = 0, [], 0.0
    with Store.open(url, readonly=True) as store:
        while time.time() < until:
            began = time.perf_counter()
            try:
                store.measurements.find(MeasurementFilter(network_sha=NETWORK))
            except Exception as error:
                errors.append(str(error))
            slowest = max(slowest, time.perf_counter() - began)
            queries += 1
    return {"queries": queries, "errors": errors, "slowest": slowest}


def search(journal: Path, until: float) -> dict[str, Any]:
    """A study that gets a trial every now and then."""
    import optuna

    from rankwise.search.journal import open_study

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, trials = open_study(journal, "crowd"), 0
    while time.time() < until:
        study.tell(study.ask(), float(trials % 7))
        trials += 1
        time.sleep(0.2)
    return {"trials": trials, "errors": []}


def _work(
    queue: Any,
    start: Any,
    seconds: float,
    name: str,
    function: Callable[..., dict[str, Any]],
    *words: Any,
) -> None:
    start.wait()  # until everybody has loaded everything
    queue.put((name, function(*words, time.time() + seconds)))


class Dashboard:
    """optuna-dashboard on the journal, and how often it answered."""

    def __init__(self, journal: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        program = str(Path(sys.executable).with_name("optuna-dashboard"))
        words = [program, str(journal), "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.answers, self.failures, self.trials = 0, 0, 0

    def ask(self) -> bool:
        try:
            [study] = self._get("/api/studies")["study_summaries"]
            found = self._get(f"/api/studies/{study['study_id']}?after=0")
        except (OSError, ValueError, KeyError):
            return False
        self.trials = len(found["trials"])
        return True

    def _get(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)

    def wait(self) -> None:
        deadline = time.monotonic() + DASHBOARD_START_S
        while not self.ask():
            if time.monotonic() > deadline:
                sys.exit("optuna-dashboard does not answer")
            time.sleep(0.2)

    def watch(self, until: float) -> None:
        while time.time() < until:
            answered = self.ask()
            self.answers += answered
            self.failures += not answered
            time.sleep(1.0)
        self.process.terminate()
        self.process.wait()


def counted(url: str) -> tuple[int, int]:
    """Rows of samples, and rows of summaries."""
    engine = create_engine(locate(url).engine_url)
    with engine.connect() as connection:
        found = [
            int(connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0)
            for name in ("samples", "summaries")
        ]
    engine.dispose()
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--readers", type=int, default=8)
    options = parser.parse_args()
    journal = companion(options.url, ".optuna.journal")
    with Store.open(options.url) as store:
        uses = [LayerUse(f"fc{n}", "linear", spec) for n, spec in enumerate(SPECS)]
        store.networks.put(NETWORK, "crowd", (1, 64), uses)
    before, _ = counted(options.url)
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    search(journal, 0.0)  # makes the study
    dashboard = Dashboard(journal)
    dashboard.wait()
    crowd: list[tuple[Any, ...]] = [("search", search, journal)]
    crowd += [("write", write, options.url, n) for n in range(options.writers)]
    crowd += [("read", read, options.url)] * options.readers
    start = spawn.Barrier(len(crowd) + 1)
    common = queue, start, options.seconds
    processes = [spawn.Process(target=_work, args=(*common, *words)) for words in crowd]
    for process in processes:
        process.start()
    start.wait()
    dashboard.watch(time.time() + options.seconds)
    found = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    report(options.url, found, before, dashboard)


def report(
    url: str, found: list[tuple[str, dict[str, Any]]], before: int, dashboard: Dashboard
) -> None:
    wrote, asked = ([r for name, r in found if name == kind] for kind in ("write", "read"))
    errors = [error for _, result in found for error in result["errors"]]
    samples, summaries = counted(url)
    acknowledged = sum(r["samples"] for r in wrote)
    print(
        f"{len(wrote)} writers: {acknowledged} samples acknowledged, {samples - before} are there, "
        f"{summaries} summaries, slowest commit {max(r['slowest'] for r in wrote):.2f} s"
    )
    queries, slowest = sum(r["queries"] for r in asked), max(r["slowest"] for r in asked)
    print(f"{len(asked)} readers: {queries} tables, slowest {slowest:.2f} s")
    print(
        f"dashboard: {dashboard.answers} answers, {dashboard.failures} failures, "
        f"{dashboard.trials} trials seen"
    )
    with Store.open(url) as store:
        problems = store.check()
    print(f"{len(errors)} errors {sorted(set(errors))}; db check: {problems or 'clean'}")
    sys.exit(1 if errors or problems or acknowledged != samples - before else 0)


if __name__ == "__main__":
    main()
