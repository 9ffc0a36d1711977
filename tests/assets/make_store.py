"""Write the store that upgrades are tested with: a little of everything, by today's code.

    python tests/assets/make_store.py tests/assets/store_0001.db.gz

Run it once for each released schema, with the code that released it, *before* a new revision is
added: the file is what a user of that release has on his disk. `tests/db/test_upgrades.py` reads
all of them.
"""

from __future__ import annotations

import gzip
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rankwise.db import NetworkRun, Store
from rankwise.db.jobs import JobRecord
from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    Failure,
    LayerSpec,
    LayerUse,
    MeasurementPolicy,
    Sample,
)
from rankwise.stats import summarize_pairs

POLICY = MeasurementPolicy()
DEVICES = (
    DeviceFingerprint.of("fake", {"chip": "a", "cores": 2}, {"driver": "1"}),
    DeviceFingerprint.of("fake", {"chip": "b", "cores": 8}, {"driver": "1"}),
)
CONV = LayerSpec("conv2d", 8, 16, (8, 14, 14), (3, 3), padding=(1, 1, 1, 1))
FC = LayerSpec("linear", 64, 32, (64,), bias=False)
ONE = Candidate(CONV, Decomposition("tucker2", (4, 4)))
TWO = Candidate(CONV, Decomposition("spatial_svd", (8,)))
THREE = Candidate(FC, Decomposition("svd", (8,)))
NETWORK = "ab" * 32
USES = (
    LayerUse("conv1", "conv2d", CONV),
    LayerUse("pool", "maxpool", None, "not a convolution"),
    LayerUse("conv2", "conv2d", CONV),
    LayerUse("fc", "linear", FC),
)
ROUNDS = 6


def fill(store: Store) -> None:
    store.networks.put(NETWORK, "net.onnx", (1, 3, 14, 14), USES)
    for number, device in enumerate(DEVICES):
        measure(store, device, (ONE, TWO), number)
        measure(store, device, (THREE,), number)
    store.failures.add(DEVICES[0], POLICY, TWO, Failure(TWO.key, "crash", "signal 11"))
    before, after = NetworkRun("0" * 32, {"sha256": "x"}), NetworkRun("1" * 32, {"plan": "y"})
    session = store.sessions.begin(DEVICES[0], POLICY, before, [after], {})
    pair = np.arange(1.0, 5.0)
    store.sessions.end(session, {after.key: summarize_pairs(pair, pair / 2)})
    store.sessions.add_round(session, [Sample(0, after.key, "host", 0.5)])
    plan = {"created_at": "2026-01-01T00:00:00Z", "model": {"sha256": NETWORK}, "verified": None}
    key = store.plans.put(plan)
    store.plans.add_verification(key, {"speedup": 1.5})
    errors = {("fc", THREE.decomposition): (0.25, 0.5)}
    store.sensitivities.put(NETWORK, "cd" * 32, errors)
    asked = ("ef" * 16, "plan", {"network": "net"}, "k")
    times = ("2026-01-01T00:00:00.000Z", None, None)
    store.jobs.put(JobRecord(*asked, "queued", {}, None, "", *times, None))


def measure(
    store: Store, device: DeviceFingerprint, candidates: tuple[Candidate, ...], n: int
) -> None:
    rng = np.random.default_rng(n)
    original = Candidate(candidates[0].spec, ORIGINAL)
    session = store.sessions.begin(device, POLICY, original, candidates, {"load": "0.5"})
    seconds = rng.lognormal(-7.0, 0.01, (len(candidates) + 1, ROUNDS))
    workloads = [original, *candidates]
    for r in range(ROUNDS):
        timed = zip(workloads, seconds[:, r], strict=True)
        store.sessions.add_round(session, [Sample(r, w.key, "host", float(s), 3) for w, s in timed])
    pairs = zip(candidates, seconds[1:], strict=True)
    store.sessions.end(session, {c.key: summarize_pairs(seconds[0], row) for c, row in pairs})


def cut_off(store: Store) -> None:
    """A session that its process, gone since, never ended."""
    session = store.sessions.begin(DEVICES[1], POLICY, Candidate(CONV, ORIGINAL), [ONE], {})
    for r in range(ROUNDS):
        timed = ((Candidate(CONV, ORIGINAL), 2.0), (ONE, 1.0))
        store.sessions.add_round(session, [Sample(r, w.key, "host", s) for w, s in timed])
    store.database.dispose()  # as if the process had died


def main(target: Path) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        with Store.open(str(path)) as store:
            fill(store)
        cut_off(Store.open(str(path)))
        with closing(sqlite3.connect(path)) as connection, connection:
            # whatever machine made this file, the tests' own did not
            connection.execute("UPDATE sessions SET host = 'elsewhere', boot = '', pid = 1")
            connection.execute("UPDATE sessions SET started_at = '2026-01-01T00:00:00.000Z'")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
        target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
