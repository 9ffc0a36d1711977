"""The world fails: full disk, lost file, other user, wrong clock, lost connection. One sentence,
and what was committed is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import create_engine, text

from rankwise.db import Store, processes, workloads
from rankwise.db.url import locate
from rankwise.errors import StoreError
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

POLICY = MeasurementPolicy()
DEVICE = DeviceFingerprint.of("fake", {"chip": "a"}, {"driver": "1"})
SPEC = LayerSpec("linear", 8, 8, (8,))
ORIGIN = Candidate(SPEC, ORIGINAL)
ONE = Candidate(SPEC, Decomposition("svd", (4,)))
USES = (LayerUse("fc", "linear", SPEC),)
NETWORK = "a" * 64


def begin(store: Store) -> int:
    return store.begin_session(DEVICE, POLICY, ORIGIN, [ONE], {})


def add(store: Store, session: int, number: int) -> None:
    pair = ((ORIGIN.key, 2.0 + number), (ONE.key, 1.0))
    store.add_round(session, [Sample(number, key, "host", s) for key, s in pair])


def complaint(act: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        act()
    found = str(caught.value)
    assert "\n" not in found
    assert len(found) < 400
    return found


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
        store.put_network(NETWORK, "net", (1, 8), USES)
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
        [(_, samples)] = store.samples(store.measurements()[0].id)
    assert {s.round for s in samples} == set(range(acknowledged + 1))


def test_an_export_onto_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "rankwise.db")) as store:
        store.put_error_curve("key", {"noise": _noise()}, {})
        text = complaint(lambda: store.export_archive(small_disk / "lab.zip"))
    assert "cannot be written (No space left on device)" in text
    assert list(small_disk.iterdir()) == []


def _noise() -> Any:
    import numpy as np

    return np.random.default_rng(0).standard_normal(2**19)


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
    assert "was deleted" in complaint(store.networks)
    store.close()
    assert path.exists() == replaced  # nothing was put in its place
    path.unlink(missing_ok=True)
    rescued.rename(path)
    with Store.open(str(path)) as store:
        store._recover(session)  # its process, this one, is not gone
        [(_, samples)] = store.samples(store.measurements()[0].id)
    assert {s.round for s in samples} == {0, 1, 2}


def test_a_folder_that_is_deleted_under_way(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    store = Store.open(str(folder / "rankwise.db"))
    store.put_network(NETWORK, "net", (1, 8), USES)
    shutil.rmtree(folder)
    assert "restore it and repeat" in complaint(store.networks)
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
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store in a folder that everybody may enter and read."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store.open(str(folder / "rankwise.db")) as store:
            store.put_network(NETWORK, "net", (1, 8), USES)
        folder.chmod(0o555)
        (folder / "rankwise.db").chmod(0o444)
        yield folder / "rankwise.db"
        folder.chmod(0o755)


def test_a_user_who_may_only_read(public: Path) -> None:
    before = public.read_bytes()
    assert "is read-only" in as_nobody(lambda: Store.open(str(public)))
    assert "is read-only" in as_nobody(lambda: Store.open(str(public.with_name("new.db"))))
    read = lambda: Store.open(str(public), readonly=True).networks()[0][1]  # noqa: E731
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

        monkeypatch.setattr(workloads, "datetime", Clock)
        monkeypatch.setattr(processes, "datetime", Clock)

    return change


def test_a_clock_that_is_set_back(
    store: Store, url: str, set_clock: Callable[[timedelta], None]
) -> None:
    store.put_network(NETWORK, "net", (1, 8), USES)
    session = begin(store)
    add(store, session, 0)
    set_clock(timedelta(days=-400))
    with Store.open(url) as other:
        assert other.recover_sessions() == 0  # whose process is there is not cut off
    for number in range(1, 4):
        add(store, session, number)
    store.put_network("b" * 64, "net", (1, 8), USES)
    assert store.find_network("net") == "b" * 64  # still the one put last
    store.end_session(session, {})
    second = begin(store)
    for number in range(4):
        add(store, second, number)
    store._own_sessions.clear()
    store._recover(second)
    assert store.sessions_done(DEVICE, POLICY, [ONE.key]) == {ONE.key: 1}
    assert store.check() == []


def test_times_of_processes_do_not_follow_the_clock() -> None:
    me = processes.this_process()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 < me.started < uptime
    assert datetime.now(UTC).timestamp() - me.started > 1e8  # no time of day


# A server


def test_a_lost_connection(server: Any) -> None:
    url = server.url()
    with Store.open(url) as store:
        session = begin(store)
        add(store, session, 0)
        engine = create_engine(locate(url).url)

        def kick() -> None:
            with engine.begin() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                    )
                )

        def lose() -> None:
            with store._writing():
                kick()

        assert "connection to postgresql://" in complaint(lose)
        kick()
        add(store, session, 1)  # a lost connection is made anew
        engine.dispose()
        assert execute_on(url, "SELECT count(*) FROM samples") == 4


def execute_on(url: str, sql: str) -> Any:
    engine = create_engine(locate(url).url)
    with engine.begin() as connection:
        result = connection.execute(text(sql))
        found = result.scalar() if result.returns_rows else None
    engine.dispose()
    return found


def test_a_server_that_another_program_keeps_busy(server: Any) -> None:
    url = server.url()
    with Store.open(url, busy_timeout_s=0.05) as store, Store.open(url) as other:
        session = begin(store)
        with other._writing():
            busy = complaint(lambda: store.put_network(NETWORK, "net", (1, 8), USES))
            assert "is locked by another program" in busy
            add(store, session, 0)  # rounds do not wait
            assert store.networks() == []  # readers neither
        store.put_network(NETWORK, "net", (1, 8), USES)


def test_a_user_of_the_server_who_may_only_read(server: Any) -> None:
    url = server.url()
    with Store.open(url) as store:
        store.put_network(NETWORK, "net", (1, 8), USES)
    schema = locate(url).url.query["options"].rpartition("=")[2]
    for statement in (
        "CREATE ROLE reader LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader",
    ):
        execute_on(url, statement)
    reader = url.replace(f"{server.user}@", "reader@")
    with Store.open(reader) as store:
        assert store.networks()[0][0] == NETWORK
        text = complaint(lambda: store.put_network(NETWORK, "moved", (1, 8), USES))
    assert "does not let this user do that" in text


def test_servers_that_are_not_there(server: Any, tmp_path: Path) -> None:
    nobody = f"postgresql://rankwise:secret@/postgres?host={tmp_path}"
    text = complaint(lambda: Store.open(nobody))
    assert "does not answer" in text
    assert "secret" not in text
    missing = f"postgresql://{server.user}@/nothing?host={server.folder}"
    assert "has no such database" in complaint(lambda: Store.open(missing))
    stranger = f"postgresql://nobody@/postgres?host={server.folder}"
    assert "refused the user" in complaint(lambda: Store.open(stranger))


def test_another_programs_tables_on_a_server_are_left_alone(server: Any) -> None:
    url = server.url()
    engine = create_engine(locate(url).url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE samples (mine text)"))
        connection.execute(text("CREATE TABLE unrelated (mine text)"))
    assert "is not a rankwise database" in complaint(lambda: Store.open(url))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE samples"))
    with Store.open(url) as store:  # beside it there is room
        assert store.check() == []
    engine.dispose()


def test_a_readonly_store_on_a_server(server: Any) -> None:
    url = server.url()
    assert "is not a rankwise database" in complaint(lambda: Store.open(url, readonly=True))
    with Store.open(url) as store:
        store.put_network(NETWORK, "net", (1, 8), USES)
    with Store.open(url, readonly=True) as store:
        assert store.networks()[0][0] == NETWORK
        text = complaint(lambda: store.put_network(NETWORK, "moved", (1, 8), USES))
    assert "opened for reading only" in text
