"""Stores to export, what a user sees of one, and archives that somebody has changed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, select

from rankwise.db import Store, archive, tables
from rankwise.db.url import locate
from rankwise.errors import StoreError
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

FIRST_FORMAT = Path(__file__).parents[1] / "assets" / "archive_1.zip"
POLICY = MeasurementPolicy()
HERE = DeviceFingerprint.of("fake", {"chip": "a", "cores": 2}, {"driver": "1"})
THERE = DeviceFingerprint.of("fake", {"chip": "b", "cores": 2}, {"driver": "1"})
SPEC = LayerSpec("conv2d", 8, 16, (8, 14, 14), (3, 3))
ONE = Candidate(SPEC, Decomposition("tucker2", (4, 4)))
TWO = Candidate(SPEC, Decomposition("spatial_svd", (8,)))
NETWORK = "ab" * 32
USES = (LayerUse("conv1", "conv2d", SPEC), LayerUse("pool", "maxpool", None, "no"))
ROUNDS = 4
SVD = Decomposition("svd", (4,))


def measure(store: Store, device: DeviceFingerprint, seed: int = 0) -> int:
    workloads = [Candidate(SPEC, ORIGINAL), ONE, TWO]
    session = store.sessions.begin(
        device, POLICY, workloads[0], workloads[1:], {"load": "0.5"}, f"b0a7d{seed}"
    )
    seconds = np.random.default_rng(seed).lognormal(-7, 0.1, (ROUNDS, 3))
    for number, row in enumerate(seconds.tolist()):
        timed = zip(workloads, row, strict=True)
        store.sessions.add_round(session, [Sample(number, w.key, "host", s, 3) for w, s in timed])
    pairs = (
        (w.key, summarize_pairs(seconds[:, 0], seconds[:, i])) for i, w in enumerate(workloads)
    )
    store.sessions.end(session, dict(list(pairs)[1:]))
    return session


def fill(store: Store, device: DeviceFingerprint, seed: int = 0) -> None:
    store.networks.put(NETWORK, "net.onnx", (1, 8, 14, 14), USES)
    session = measure(store, device, seed)
    measure(store, device, seed + 1)
    store.failures.add(device, POLICY, TWO, Failure(TWO.key, "crash", "signal 11"), session)
    store.failures.add(device, POLICY, ONE, Failure(ONE.key, "prepare", "no kernel"))
    store.failures.clear(device, POLICY, [ONE.key])
    plan = {"created_at": f"2026-01-0{seed + 1}T00:00:00Z", "model": {"sha256": NETWORK}}
    store.plans.add_verification(store.plans.put({**plan, "verified": None}), {"speedup": 1.5})
    store.sensitivities.put(NETWORK, NETWORK, {("conv1", SVD): (0.1, 0.2)})


def content(url: str) -> dict[str, list[Any]]:
    """Every row of every table but jobs, with this store's ids."""
    engine = create_engine(locate(url).engine_url)
    with engine.connect() as connection:
        found = {
            name: sorted(map(repr, connection.execute(select(table))))
            for name, table in tables.metadata.tables.items()
        }
    engine.dispose()
    return found


def seen(store: Store) -> list[Any]:
    """All that a user of the store sees, whatever its ids."""
    measured = store.measurements.find()
    plans = store.plans.all()
    return [
        measured,
        [store.measurements.samples(m.id) for m in measured],
        store.networks.all(),
        [store.networks.layers(sha) for sha, *_ in store.networks.all()],
        plans,
        [store.plans.verifications(key) for key, _ in plans],
        store.sensitivities.get(NETWORK, NETWORK),
        store.check(),
    ]


def refusal(store: Store, path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        store.import_archive(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


Members = dict[str, bytes]


def rewrite(path: Path, change: Callable[[Members], None], **manifest: Any) -> Path:
    """The archive after a change, with hashes that agree: somebody took trouble."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    said = json.loads(members.pop(archive.MANIFEST))
    change(members)
    said["members"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in members.items()
    }
    said |= manifest
    said["sha256"] = archive.manifest_hash(said)
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(target, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
        new.writestr(archive.MANIFEST, json.dumps(said))
    return target


def edit(name: str, change: Callable[[Any], None]) -> Callable[[Members], None]:
    """A change of the first line of a member."""

    def apply(members: Members) -> None:
        first, _, rest = members[f"{name}.jsonl"].partition(b"\n")
        document = json.loads(first)
        change(document)
        members[f"{name}.jsonl"] = json.dumps(document).encode() + b"\n" + rest

    return apply


def nothing(members: Members) -> None:
    """No change."""
