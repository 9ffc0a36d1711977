"""An archive that is damaged, or contradicts itself or the store, is refused as a whole."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankwise.db import Store, archive
from rankwise.errors import StoreError
from rankwise.records import content_key

from .archives import HERE, THERE, Members, content, edit, fill, nothing, refusal, rewrite, seen

on_sqlite = pytest.mark.parametrize("new_url", ["sqlite"], indirect=True)
"""What is refused is refused before the database is asked."""


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
        (lambda m: m.update({"cache/evil.safetensors": b"x"}), "not ours"),
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
        ({"format_version": 4}, "newer than this rankwise"),
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
    exported: Path, store: Store, url: str, execute: Callable[..., Any], name: str
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
    exported: Path, full: Store, change: Callable[[Any], None], reason: str
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
    refusals = []
    for _ in range(60):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        broken.write_bytes(data)
        try:
            with archive.reading(broken) as reader:
                assert reader.manifest["members"]
        except StoreError as error:
            refusals.append(str(error))
    assert len(refusals) > 40
    assert all("refused and nothing of it imported" in text for text in refusals)
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
