"""One portable file: what goes in comes out, once."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankwise.db import MeasurementFilter, Store, archive, importing
from rankwise.records import ORIGINAL, Candidate, Failure, Sample

from .archives import FIRST_FORMAT, HERE, ONE, POLICY, ROUNDS, SPEC, THERE, TWO, content, fill, seen


def test_into_an_empty_store_it_is_the_same(
    full: Store, exported: Path, store: Store, tmp_path: Path
) -> None:
    merged = store.import_archive(exported)
    assert (merged.sessions, merged.samples, merged.devices) == (2, 2 * 3 * ROUNDS, 1)
    assert seen(store) == seen(full)
    assert store.failures.latest(HERE, POLICY, [ONE.key, TWO.key]).keys() == {TWO.key}
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


def test_a_session_says_its_board_wherever_it_goes(
    exported: Path, store: Store, execute: Callable[..., Any]
) -> None:
    store.import_archive(exported)
    store.import_archive(FIRST_FORMAT)  # which knows of no boards
    boards = {board for (board,) in execute("SELECT board FROM v_sessions")}
    assert boards == {"b0a7d0", "b0a7d1", None}


def test_two_machines_are_kept_apart(
    exported: Path, store: Store, execute: Callable[..., Any]
) -> None:
    """Same host's name, same workloads, another chip."""
    fill(store, THERE, seed=5)
    store.import_archive(exported)
    by_device = {
        m.fingerprint: m
        for m in store.measurements.find(MeasurementFilter(layer="conv1"))
        if not m.failure
    }
    assert by_device.keys() == {HERE, THERE}
    assert {len(m.summaries) for m in by_device.values()} == {2}
    assert len(store.plans.all()) == 2
    rows = execute("SELECT hardware_key, imported_from IS NULL FROM v_sessions")
    assert {(key, bool(own)) for key, own in rows} == {
        (HERE.hardware_key, False),
        (THERE.hardware_key, True),
    }
    assert store.check() == []


def test_an_archive_of_the_first_format_is_read(store: Store, tmp_path: Path) -> None:
    """As version 0.1 wrote it: with `circumstances`, and with error curves and calibrations,
    which are left alone."""
    merged = store.import_archive(FIRST_FORMAT)
    assert (merged.sessions, merged.samples, merged.devices) == (5, 61, 2)
    assert len(store.measurements.find()) == 6
    assert store.check() == []
    assert store.import_archive(FIRST_FORMAT).sessions == 0
    store.export_archive(tmp_path / "again.zip")
    with zipfile.ZipFile(tmp_path / "again.zip") as written:
        first = json.loads(written.read("sessions.jsonl").splitlines()[0])
        assert not {"calibrations.jsonl", "error_curves.jsonl"} & set(written.namelist())
    assert first["run_metadata"] == {"load": "0.5"}
    assert "circumstances" not in first


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
            measured = store.measurements.find()
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
    session = full.sessions.begin(HERE, POLICY, Candidate(SPEC, ORIGINAL), [ONE], {})
    full.sessions.add_round(session, [Sample(0, ONE.key, "host", 1.0)])
    full.failures.add(HERE, POLICY, ONE, Failure(ONE.key, "run", "no"), session)
    assert full.export_archive(tmp_path / "early.zip")["open_sessions"] == 1
    assert store.import_archive(tmp_path / "early.zip").sessions == 2
    full.sessions.end(session, {})
    full.export_archive(tmp_path / "late.zip")
    assert store.import_archive(tmp_path / "late.zip").sessions == 1
    assert seen(store) == seen(full)


def test_an_import_that_was_cut_off_goes_on(
    exported: Path, store: Store, full: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "SESSIONS_AT_ONCE", 1)
    add, calls = importing.add_sessions, []

    def add_once(*words: Any) -> None:
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        add(*words)

    monkeypatch.setattr(importing, "add_sessions", add_once)
    with pytest.raises(KeyboardInterrupt):
        store.import_archive(exported)
    assert store.measurements.session_counts(HERE, POLICY, [ONE.key]) == {
        ONE.key: 1
    }  # a session is a whole
    assert store.check() == []
    assert store.import_archive(exported).sessions == 1
    assert seen(store) == seen(full)


def test_pruned_sessions_stay_pruned(
    full: Store, exported: Path, store: Store, tmp_path: Path
) -> None:
    tables_before = full.measurements.find()
    pruned = full.prune("2999-01-01T00:00:00.000Z")
    assert (pruned.sessions, pruned.samples) == (2, 2 * 3 * ROUNDS)
    assert full.measurements.find() == tables_before
    assert full.check() == []
    full.import_archive(exported)  # it has the samples
    assert full.measurements.samples(full.measurements.find()[0].id) == []
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
    assert store.measurements.find() == full.measurements.find()
    assert store.check() == []
    assert execute("SELECT sum(pruned_samples) FROM v_sessions") == [(2 * 3 * ROUNDS,)]
