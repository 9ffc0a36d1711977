"""One sentence for whatever is wrong with a database, and nothing lost."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rankwise.db import Store
from rankwise.errors import StoreError
from rankwise.records import LayerSpec, LayerUse

USES = (LayerUse("fc", "linear", LayerSpec("linear", 4, 4, (4,))),)
NETWORK = "a" * 64


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A good database that holds one network."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "rankwise.db"
    with Store.open(str(path)) as store:
        store.networks.put(NETWORK, "net", (1, 4), USES)
    return path


@pytest.fixture
def locked_up(made: Path) -> Iterator[Path]:
    """The file cannot be written."""
    made.chmod(0o444)
    yield made
    made.chmod(0o644)


@pytest.fixture
def locked_folder(made: Path) -> Iterator[Path]:
    made.parent.chmod(0o555)
    yield made
    made.parent.chmod(0o755)


def complaint(act: Callable[[], object]) -> str:
    """The one sentence that an action ends with."""
    with pytest.raises(StoreError) as caught:
        act()
    text = str(caught.value)
    assert "\n" not in text
    assert not re.search(r"Traceback|sqlalche|\[SQL", text)
    assert len(text) < 300
    assert caught.value.exit_status == 2
    return text


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in complaint(lambda: Store.open(str(tmp_path)))


def test_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "none" / "rankwise.db"
    assert "create it first" in complaint(lambda: Store.open(f"sqlite:///{path}"))


@pytest.mark.parametrize("options", [{"create": False}, {"readonly": True}])
def test_a_missing_file_is_not_created(tmp_path: Path, options: dict[str, bool]) -> None:
    path = tmp_path / "rankwise.db"
    assert "there is no database" in complaint(lambda: Store.open(str(path), **options))
    assert not path.exists()


def test_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, and they are not a database")
    assert "is not an SQLite database" in complaint(lambda: Store.open(str(path)))
    assert path.read_text().startswith("these are my notes")


def test_another_programs_database(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE trials (id INTEGER)")
    before = path.read_bytes()
    assert "is not a rankwise database" in complaint(lambda: Store.open(str(path)))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "url", ["", "nonsense://x", "http://example.org/db", "sqlite:/x://", "postgresql://h:port/x"]
)
def test_bad_urls(url: str) -> None:
    complaint(lambda: Store.open(url))


def test_a_password_is_not_repeated() -> None:
    url = "nonsense://user:secret@host/x"
    assert "secret" not in complaint(lambda: Store.open(url))


def test_a_newer_schema(made: Path) -> None:
    _stamp(made, "9999")
    assert "newer rankwise (schema 9999); upgrade" in complaint(lambda: Store.open(str(made)))


def test_a_version_table_without_a_version(made: Path) -> None:
    with closing(sqlite3.connect(made)) as connection, connection:
        connection.execute("DELETE FROM rankwise_version")
    assert "is not a rankwise database" in complaint(lambda: Store.open(str(made)))


def test_a_damaged_file(made: Path) -> None:
    data = bytearray(made.read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)
    made.write_bytes(data)
    assert "is damaged" in complaint(lambda: Store.open(str(made)))


def test_a_truncated_file(made: Path) -> None:
    made.write_bytes(made.read_bytes()[:5000])
    assert "is damaged" in complaint(lambda: Store.open(str(made)).networks())


def test_writing_to_a_read_only_file(locked_up: Path) -> None:
    assert "is read-only" in complaint(lambda: Store.open(str(locked_up)))


def test_writing_to_a_read_only_folder(locked_folder: Path) -> None:
    assert "is read-only" in complaint(lambda: Store.open(str(locked_folder)))


def test_creating_in_a_read_only_folder(locked_folder: Path) -> None:
    path = locked_folder.with_name("new.db")
    assert "is read-only" in complaint(lambda: Store.open(str(path)))


@pytest.mark.parametrize("where", ["locked_up", "locked_folder"])
def test_what_cannot_be_written_can_be_read(where: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(where)
    before = path.read_bytes()
    with Store.open(str(path), readonly=True) as store:
        assert store.networks.layers(NETWORK) == USES
        assert "is read-only" in complaint(lambda: store.networks.put(NETWORK, "x", (1,), USES))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_store_opened_for_reading_does_not_write(made: Path) -> None:
    with Store.open(str(made), readonly=True) as store:
        text = complaint(lambda: store.networks.put(NETWORK, "x", (1,), USES))
    assert "opened for reading only" in text


def test_a_locked_database(made: Path) -> None:
    with (
        closing(sqlite3.connect(made, isolation_level=None)) as other,
        Store.open(str(made), busy_timeout_s=0.05) as store,
    ):
        other.execute("BEGIN IMMEDIATE")
        text = complaint(lambda: store.networks.put(NETWORK, "moved", (1, 4), USES))
        assert "is locked by another program" in text
        assert store.networks.all()[0][1] == "net"  # readers do not wait
        other.execute("ROLLBACK")
        store.networks.put(NETWORK, "moved", (1, 4), USES)
        assert store.networks.all()[0][1] == "moved"


def test_a_full_disk(made: Path) -> None:
    many = [LayerUse(f"{n}" * 100, "conv2d", None, "no") for n in range(2000)]
    with Store.open(str(made)) as store:
        with store.database.engine.connect() as connection:  # the pool hands the same one out again
            connection.exec_driver_sql("PRAGMA max_page_count=40")
        text = complaint(lambda: store.networks.put(NETWORK, "big", (1, 4), many))
        assert "is full" in text
        assert store.networks.layers(NETWORK) == USES
        assert store.check() == []


def test_check_says_what_is_broken(made: Path) -> None:
    with closing(sqlite3.connect(made)) as connection, connection:
        connection.execute("UPDATE network_layers SET spec_id = 99")
    with Store.open(str(made), readonly=True) as store:
        assert store.check() == ["rows of network_layers refer to rows that do not exist"]


def _stamp(path: Path, version: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE rankwise_version SET version_num = ?", (version,))
