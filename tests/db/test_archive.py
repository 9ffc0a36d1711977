"""One portable file: what goes in comes out, once; what is damaged or contradicts is refused."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, select

from rankwise.db import Store, archive, importing, tables
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
    content_key,
)
from rankwise.stats import summarize_pairs

on_sqlite = pytest.mark.parametrize("new_url", ["sqlite"], indirect=True)
"""What is refused is refused before the database is asked."""

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
    session = store.begin_session(device, POLICY, workloads[0], workloads[1:], {"load": "0.5"})
    seconds = np.random.default_rng(seed).lognormal(-7, 0.1, (ROUNDS, 3))
    for number, row in enumerate(seconds.tolist()):
        timed = zip(workloads, row, strict=True)
        store.add_round(session, [Sample(number, w.key, "host", s, 3) for w, s in timed])
    pairs = (
        (w.key, summarize_pairs(seconds[:, 0], seconds[:, i])) for i, w in enumerate(workloads)
    )
    store.end_session(session, dict(list(pairs)[1:]))
    return session


def fill(store: Store, device: DeviceFingerprint, seed: int = 0) -> None:
    store.put_network(NETWORK, "net.onnx", (1, 8, 14, 14), USES)
    session = measure(store, device, seed)
    measure(store, device, seed + 1)
    store.add_failure(device, POLICY, TWO, Failure(TWO.key, "crash", "signal 11"), session)
    store.add_failure(device, POLICY, ONE, Failure(ONE.key, "prepare", "no kernel"))
    store.clear_failures(device, POLICY, [ONE.key])
    plan = {"created_at": f"2026-01-0{seed + 1}T00:00:00Z", "model": {"sha256": NETWORK}}
    store.put_verification(store.put_plan({**plan, "verified": None}), {"speedup": 1.5})
    store.put_calibration(NETWORK, {"images": 4})
    store.put_error_curve("curve", {"errors": np.arange(3.0)}, {"kind": "svd"})
    store.put_sensitivities(NETWORK, NETWORK, {("conv1", SVD): (0.1, 0.2)})


@pytest.fixture
def full(new_url: Callable[[], str]) -> Iterator[Store]:
    with Store.open(new_url()) as store:
        fill(store, HERE)
        yield store


@pytest.fixture
def exported(full: Store, tmp_path: Path) -> Path:
    full.export_archive(tmp_path / "lab.zip")
    return tmp_path / "lab.zip"


def content(url: str) -> dict[str, list[Any]]:
    """Every row of every table but jobs, with this store's ids."""
    engine = create_engine(locate(url).url)
    with engine.connect() as connection:
        found = {
            name: sorted(map(repr, connection.execute(select(table))))
            for name, table in tables.metadata.tables.items()
        }
    engine.dispose()
    return found


def seen(store: Store) -> list[Any]:
    """All that a user of the store sees, whatever its ids."""
    measured = store.measurements()
    plans = store.plans()
    return [
        measured,
        [store.samples(m.id) for m in measured],
        store.networks(),
        [store.layer_uses(sha) for sha, *_ in store.networks()],
        plans,
        [store.verifications(key) for key, _ in plans],
        store.calibration(NETWORK),
        store.sensitivities(NETWORK, NETWORK),
        str(store.error_curve("curve")),
        store.check(),
    ]


def test_into_an_empty_store_it_is_the_same(
    full: Store, exported: Path, store: Store, tmp_path: Path
) -> None:
    merged = store.import_archive(exported)
    assert (merged.sessions, merged.samples, merged.devices) == (2, 2 * 3 * ROUNDS, 1)
    assert seen(store) == seen(full)
    assert store.failed(HERE, POLICY, [ONE.key, TWO.key]).keys() == {TWO.key}
    store.export_archive(tmp_path / "again.zip")
    with zipfile.ZipFile(exported) as a, zipfile.ZipFile(tmp_path / "again.zip") as b:
        names = [name for name in a.namelist() if name != archive.MANIFEST]
        assert all(sorted(a.read(n).split()) == sorted(b.read(n).split()) for n in names)


def test_importing_twice_changes_nothing(exported: Path, store: Store, url: str) -> None:
    store.import_archive(exported)
    before = content(url)
    merged = store.import_archive(exported)
    assert (merged.sessions, merged.samples, merged.others, merged.devices) == (0, 0, 0, 0)
    assert merged.known_sessions == 2
    assert content(url) == before


def test_importing_what_came_from_here_changes_nothing(full: Store, exported: Path) -> None:
    before = seen(full)
    assert full.import_archive(exported).sessions == 0
    assert seen(full) == before


def test_two_machines_are_kept_apart(
    exported: Path, store: Store, url: str, execute: Callable[..., Any]
) -> None:
    """Same host's name, same workloads, another chip."""
    fill(store, THERE, seed=5)
    store.import_archive(exported)
    by_device = {m.fingerprint: m for m in store.measurements(layer="conv1") if not m.failure}
    assert by_device.keys() == {HERE, THERE}
    assert {len(m.summaries) for m in by_device.values()} == {2}
    assert len(store.plans()) == 2
    rows = execute("SELECT hardware_key, imported_from IS NULL FROM v_sessions")
    assert {(key, bool(own)) for key, own in rows} == {
        (HERE.hardware_key, False),
        (THERE.hardware_key, True),
    }
    assert store.check() == []


def test_merging_is_the_same_in_any_order(new_url: Callable[[], str], tmp_path: Path) -> None:
    files = []
    for number, device in enumerate((HERE, THERE, HERE)):
        with Store.open(new_url()) as store:
            fill(store, device, seed=2 * number)
            files.append(tmp_path / f"{number}.zip")
            store.export_archive(files[-1])
    found = []
    for order in ((0, 1, 2), (2, 1, 0)):
        with Store.open(new_url()) as store:
            for number in order:
                store.import_archive(files[number])
            measured = store.measurements()
            found.append(
                {(m.id, frozenset(map(repr, m.summaries)), m.measured_at) for m in measured}
            )
    assert found[0] == found[1]


@pytest.mark.parametrize("to_server", [True, False])
def test_from_one_kind_of_database_to_the_other(
    to_server: bool, server: Any, tmp_path: Path
) -> None:
    urls = [f"sqlite:///{tmp_path}/one.db", server.url()]
    source, target = urls if to_server else reversed(urls)
    with Store.open(source) as full, Store.open(target) as empty:
        fill(full, HERE)
        full.export_archive(tmp_path / "lab.zip")
        empty.import_archive(tmp_path / "lab.zip")
        assert seen(empty) == seen(full)


def test_what_is_not_ended_is_left_out(full: Store, store: Store, tmp_path: Path) -> None:
    session = full.begin_session(HERE, POLICY, Candidate(SPEC, ORIGINAL), [ONE], {})
    full.add_round(session, [Sample(0, ONE.key, "host", 1.0)])
    full.add_failure(HERE, POLICY, ONE, Failure(ONE.key, "run", "no"), session)
    assert full.export_archive(tmp_path / "early.zip")["open_sessions"] == 1
    assert store.import_archive(tmp_path / "early.zip").sessions == 2
    full.end_session(session, {})
    full.export_archive(tmp_path / "late.zip")
    assert store.import_archive(tmp_path / "late.zip").sessions == 1
    assert seen(store) == seen(full)


def test_an_import_that_was_cut_off_goes_on(
    exported: Path, store: Store, full: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "SESSIONS_AT_ONCE", 1)
    add, calls = importing._add, []

    def add_once(*words: Any) -> None:
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        add(*words)

    monkeypatch.setattr(importing, "_add", add_once)
    with pytest.raises(KeyboardInterrupt):
        store.import_archive(exported)
    assert store.sessions_done(HERE, POLICY, [ONE.key]) == {ONE.key: 1}  # a session is a whole
    assert store.check() == []
    assert store.import_archive(exported).sessions == 1
    assert seen(store) == seen(full)


def test_pruned_sessions_stay_pruned(
    full: Store, exported: Path, store: Store, tmp_path: Path
) -> None:
    tables_before = full.measurements()
    pruned = full.prune("2999-01-01T00:00:00.000Z")
    assert (pruned.sessions, pruned.samples) == (2, 2 * 3 * ROUNDS)
    assert full.measurements() == tables_before
    assert full.check() == []
    full.import_archive(exported)  # it has the samples
    assert full.samples(full.measurements()[0].id) == []
    full.export_archive(tmp_path / "pruned.zip")
    store.import_archive(exported)
    before = seen(store)
    store.import_archive(tmp_path / "pruned.zip")  # it has none
    assert seen(store) == before


def test_pruned_sessions_are_moved_with_their_summaries(
    full: Store, store: Store, execute: Callable[..., Any], tmp_path: Path
) -> None:
    full.prune("2999-01-01T00:00:00.000Z")
    full.export_archive(tmp_path / "pruned.zip")
    store.import_archive(tmp_path / "pruned.zip")
    assert store.measurements() == full.measurements()
    assert store.check() == []
    assert execute("SELECT sum(pruned_samples) FROM v_sessions") == [(2 * 3 * ROUNDS,)]


# Refusals


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
    said["sha256"] = archive._manifest_hash(said)
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


@on_sqlite
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (edit("devices", lambda d: d["json"]["hardware"].update(chip="c")), "not that of its"),
        (edit("specs", lambda d: d["json"].update(in_channels=9)), "not that of its"),
        (edit("policies", lambda d: d["json"].update(threads=9)), "not that of its"),
        (edit("workloads", lambda d: d.update(key="0" * 32)), "not what its key says"),
        (edit("workloads", lambda d: d.update(spec="0" * 32)), "does not hold"),
        (edit("workloads", lambda d: d.update(decomposition=None)), "has a spec and"),
        (edit("sessions", lambda d: d.update(device="0" * 32)), "does not hold"),
        (edit("sessions", lambda d: d["series"][0].update(workload="0" * 32)), "does not hold"),
        (edit("sessions", lambda d: d["series"][0]["rounds"].pop()), "one time and one number"),
        (edit("sessions", lambda d: d["series"].append(d["series"][0])), "one series"),
        (edit("sessions", lambda d: d["summaries"].append(d["summaries"][0])), "one summary"),
        (edit("sessions", lambda d: d["series"][0]["seconds"].__setitem__(0, -1.0)), "seconds.0"),
        (edit("sessions", lambda d: d["series"][0]["seconds"].__setitem__(0, "1")), "seconds.0"),
        (edit("sessions", lambda d: d["summaries"][0].update(log_ratio=float("nan"))), "wrong"),
        (edit("sessions", lambda d: d.update(ended_at=None)), "ended_at"),
        (edit("sessions", lambda d: d.update(more=1)), "more"),
        (edit("failures", lambda d: d.update(workload="0" * 32)), "does not hold"),
        (edit("networks", lambda d: d["layers"][0].update(spec="0" * 32)), "does not hold"),
        (edit("plans", lambda d: d["json"].update(created_at="never")), "not what its key says"),
        (edit("sensitivities", lambda d: d.update(layer="conv2")), "not what its key says"),
        (lambda m: m.update({"specs.jsonl": b"{"}), "wrong"),
        (lambda m: m.update({"specs.jsonl": b"[]\n"}), "wrong"),
        (lambda m: m.update({"specs.jsonl": b'{"key": "\xff"}\n'}), "wrong"),
        (lambda m: m.update({"../evil.jsonl": b""}), "not ours"),
        (lambda m: m.update({"/etc/passwd": b""}), "not ours"),
        (lambda m: m.update({f"cache/{'0' * 64}.safetensors": b"x"}), "not what its name says"),
        (lambda m: m.update({"sessions.jsonl": 2 * m["sessions.jsonl"]}), "in it twice"),
        (lambda m: m.pop("workloads.jsonl"), "does not hold"),
    ],
)
def test_what_contradicts_itself_is_refused_whole(
    exported: Path, store: Store, url: str, change: Callable[[Members], None], reason: str
) -> None:
    before = content(url)
    assert reason in refusal(store, rewrite(exported, change))
    assert content(url) == before


@on_sqlite
def test_a_changed_archive_with_its_hashes_is_taken(exported: Path, store: Store) -> None:
    """Else the test above would show nothing."""
    assert store.import_archive(rewrite(exported, nothing)).sessions == 2


@on_sqlite
@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ({"format_version": 2}, "newer than this rankwise"),
        ({"format_version": "x"}, "newer than this rankwise"),
        ({"format": "other"}, "no manifest of rankwise"),
        ({"members": []}, "no manifest of rankwise"),
        ({"members": {}}, "not those that its manifest names"),
        ({"host": 3}, "no manifest of rankwise"),
    ],
)
def test_other_manifests(
    exported: Path, store: Store, manifest: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(store, rewrite(exported, nothing, **manifest))


@on_sqlite
def test_lines_are_not_read_without_end(
    exported: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_LINE_BYTES", 300)
    assert "too long" in refusal(store, exported)


@pytest.mark.parametrize("name", ["devices", "specs", "policies"])
def test_a_key_that_means_something_else_here_is_refused(
    exported: Path, full: Store, store: Store, url: str, execute: Callable[..., Any], name: str
) -> None:
    """As when a fingerprint was edited by hand: it must not be mixed with the true one."""
    fill(store, HERE, seed=3)
    execute(f"UPDATE {name} SET json = '{{}}'")
    before = content(url)
    assert f"of its {name} means something else" in refusal(store, exported)
    assert content(url) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(device=content_key(THERE.to_json())), "on another device"),
        (lambda d: d.update(host="elsewhere"), "on another device or otherwise"),
        (lambda d: d["series"][0]["seconds"].__setitem__(0, 9.0), "other samples"),
        (lambda d: d["series"][0]["loops"].__setitem__(0, 9), "other samples"),
    ],
)
def test_a_session_that_is_another_here_is_refused(
    exported: Path, full: Store, tmp_path: Path, change: Callable[[Any], None], reason: str
) -> None:
    def with_the_other_device(members: Members) -> None:
        line = {"key": THERE.key, "json": THERE.to_json()}
        members["devices.jsonl"] += json.dumps(line).encode() + b"\n"
        edit("sessions", change)(members)

    before = seen(full)
    assert reason in refusal(full, rewrite(exported, with_the_other_device))
    assert seen(full) == before


def test_a_session_that_has_grown_is_completed(exported: Path, store: Store, full: Store) -> None:
    def shorten(document: Any) -> None:
        for series in document["series"]:
            for name in ("rounds", "seconds", "loops"):
                series[name].pop()
        document["summaries"].clear()

    store.import_archive(rewrite(exported, edit("sessions", shorten)))
    merged = store.import_archive(exported)
    assert (merged.sessions, merged.samples) == (0, 3)
    assert seen(store) == seen(full)


@on_sqlite
def test_any_damage_is_refused_whole(exported: Path, store: Store, url: str) -> None:
    """A bit that turns anywhere: refused and nothing imported, or it meant nothing."""
    empty, rng = content(url), random.Random(0)
    whole, broken = exported.read_bytes(), exported.with_name("broken.zip")
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        broken.write_bytes(data)
        try:
            with archive.reading(broken) as reader:
                assert reader.manifest["members"]
        except StoreError as error:
            assert "refused and nothing of it imported" in str(error)
            refused += 1
    assert refused > 40
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:length])
        assert "refused" in refusal(store, broken)
    assert content(url) == empty


@on_sqlite
def test_other_files_are_refused(store: Store, tmp_path: Path) -> None:
    text, other = tmp_path / "notes.zip", tmp_path / "other.zip"
    text.write_text("these are my notes")
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("notes.txt", "mine")
    assert "no zip file" in refusal(store, text)
    assert "no manifest" in refusal(store, other)
    assert "cannot be read" in refusal(store, tmp_path / "none.zip")
    assert "cannot be read" in refusal(store, tmp_path)


@on_sqlite
def test_an_export_overwrites_nothing_and_leaves_nothing_half(
    full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "lab.zip"
    target.write_text("precious")
    with pytest.raises(StoreError, match="exists"):
        full.export_archive(target)
    assert target.read_text() == "precious"
    with pytest.raises(StoreError, match="cannot be written"):
        full.export_archive(tmp_path / "none" / "lab.zip")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.Writer, "finish", full_disk)
    with pytest.raises(StoreError, match="No space left"):
        full.export_archive(tmp_path / "new.zip")
    assert not list(tmp_path.glob("new*"))
