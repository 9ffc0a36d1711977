"""The world fails: full disk, lost file, other user, wrong clock. One sentence, and what was
committed is there."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rankwise import clock
from rankwise.db import Store, processes
from rankwise.errors import StoreError

from .faults import DEVICE, NETWORK, ONE, POLICY, USES, add, begin, complaint

# A full disk: a file system of its own, of two megabytes


@pytest.fixture
def small_disk(tmp_path: Path, need: Callable[[str, str], NoReturn]) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(words, capture_output=True, check=False).returncode:
        need("mount", "a small file system can be mounted only by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with Store.open(str(small_disk / "rankwise.db")) as store:
        store.networks.put(NETWORK, "net", (1, 8), USES)
        session, acknowledged = begin(store), 0
        ballast.write_bytes(b"\0" * 2**20)

        def fill() -> NoReturn:
            nonlocal acknowledged
            while True:
                add(store, session, acknowledged)
                acknowledged += 1

        assert "is full; free some space" in complaint(fill)
        assert acknowledged > 20
        assert store.check() == []
        ballast.unlink()
        add(store, session, acknowledged)  # it goes on where it was
    with Store.open(str(small_disk / "rankwise.db")) as store:
        assert store.check() == []
        [(_, samples)] = store.measurements.samples(store.measurements.find()[0].id)
    assert {s.round for s in samples} == set(range(acknowledged + 1))


def test_an_export_onto_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "rankwise.db")) as store:
        noise = random.Random(0).randbytes(2**22).hex()
        store.plans.put({"model": {"sha256": NETWORK}, "noise": noise})
        text = complaint(lambda: store.export_archive(small_disk / "lab.zip"))
    assert "cannot be written (No space left on device)" in text
    assert list(small_disk.iterdir()) == []


# A lost file


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_deleted_under_way(tmp_path: Path, replaced: bool) -> None:
    path, rescued = tmp_path / "rankwise.db", tmp_path / "rankwise.db.rescued"
    store = Store.open(str(path))
    session = begin(store)
    for number in range(3):
        add(store, session, number)
    for old in tmp_path.glob("rankwise.db*"):
        old.unlink()
    if replaced:
        path.write_bytes(b"")
    found = complaint(lambda: add(store, session, 3))
    assert (
        f"was deleted or replaced while it was open; all that was committed is saved in {rescued}"
        in found
    )
    assert "was deleted" in complaint(store.networks.all)
    store.close()
    assert path.exists() == replaced  # nothing was put in its place
    path.unlink(missing_ok=True)
    rescued.rename(path)
    with Store.open(str(path)) as store:
        store.sessions.end_from_samples(session)  # its process, this one, is not gone
        [(_, samples)] = store.measurements.samples(store.measurements.find()[0].id)
    assert {s.round for s in samples} == {0, 1, 2}


def test_a_folder_that_is_deleted_under_way(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    store = Store.open(str(folder / "rankwise.db"))
    store.networks.put(NETWORK, "net", (1, 8), USES)
    shutil.rmtree(folder)
    assert "restore it and repeat" in complaint(store.networks.all)
    store.close()


# Another user, who may not write: really another one, since root may


def as_nobody(act: Callable[[], object]) -> str:
    """What an action says when a user without rights does it."""
    if os.geteuid():
        return _said(act)
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            os.write(send, _said(act).encode())
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        found = pipe.read().decode()
    os.waitpid(pid, 0)
    return found


def _said(act: Callable[[], object]) -> str:
    try:
        return f"done: {act()}"
    except StoreError as error:
        return str(error)


@pytest.fixture
def public() -> Iterator[Path]:
    """A store in a folder that everybody may enter and read."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store.open(str(folder / "rankwise.db")) as store:
            store.networks.put(NETWORK, "net", (1, 8), USES)
        folder.chmod(0o555)
        (folder / "rankwise.db").chmod(0o444)
        yield folder / "rankwise.db"
        folder.chmod(0o755)


def test_a_user_who_may_only_read(public: Path) -> None:
    before = public.read_bytes()
    assert "is read-only" in as_nobody(lambda: Store.open(str(public)))
    assert "is read-only" in as_nobody(lambda: Store.open(str(public.with_name("new.db"))))
    read = lambda: Store.open(str(public), readonly=True).networks.all()[0][1]  # noqa: E731
    assert as_nobody(read) == "done: net"
    assert public.read_bytes() == before
    assert [p.name for p in public.parent.iterdir()] == [public.name]


def test_a_user_who_may_not_even_read(public: Path) -> None:
    public.chmod(0o000)
    assert "check its permissions" in as_nobody(lambda: Store.open(str(public), readonly=True))


# A clock that was set back


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    def change(by: timedelta) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, zone: Any = None) -> Any:
                return datetime.now(zone) + by

        monkeypatch.setattr(clock, "datetime", Clock)
        monkeypatch.setattr(processes, "datetime", Clock)

    return change


def test_a_clock_that_is_set_back(
    store: Store, url: str, set_clock: Callable[[timedelta], None]
) -> None:
    store.networks.put(NETWORK, "net", (1, 8), USES)
    session = begin(store)
    add(store, session, 0)
    set_clock(timedelta(days=-400))
    with Store.open(url) as other:
        assert other.sessions.recover() == 0  # whose process is there is not cut off
    for number in range(1, 4):
        add(store, session, number)
    store.networks.put("b" * 64, "net", (1, 8), USES)
    assert store.networks.find("net") == "b" * 64  # still the one put last
    store.sessions.end(session, {})
    second = begin(store)
    for number in range(4):
        add(store, second, number)
    store.sessions.end_own()
    assert store.measurements.session_counts(DEVICE, POLICY, [ONE.key]) == {ONE.key: 1}
    assert store.check() == []


def test_times_of_processes_do_not_follow_the_clock() -> None:
    me = processes.this_process()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 < me.started < uptime
    assert datetime.now(UTC).timestamp() - me.started > 1e8  # no time of day
