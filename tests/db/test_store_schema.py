"""The schema: created at once or by migrations, it is the same; an upgrade loses nothing."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from rankwise.db import Store, schema
from rankwise.db.database import Database
from rankwise.db.schema import upgrade
from rankwise.db.url import locate
from rankwise.errors import StoreError
from rankwise.records import LayerSpec, LayerUse

USES = (LayerUse("fc", "linear", LayerSpec("linear", 4, 4, (4,))),)


def statements(path: Path) -> set[str]:
    """All of the schema, as text in which the order of constraints does not matter."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {_sorted_constraints(" ".join(sql.split())) for (sql,) in rows}


def _sorted_constraints(sql: str) -> str:
    body, end, options = sql.rpartition(" )")
    columns, *constraints = (body or sql).split(", CONSTRAINT ")
    return ", CONSTRAINT ".join([columns, *sorted(constraints)]) + end + (options if body else "")


def test_migrations_build_what_the_tables_say(tmp_path: Path) -> None:
    created, migrated = tmp_path / "created.db", tmp_path / "migrated.db"
    Store.open(str(created)).close()
    database = Database(locate(str(migrated)), create=True, readonly=False)
    with database.writing() as connection:
        schema.migrate(connection)
        assert schema.read_version(connection) == schema.REVISIONS[-1]
    database.dispose()
    assert statements(created) == statements(migrated)
    with Store.open(str(migrated)) as store:
        assert store.check() == []


def test_every_migration_is_listed() -> None:
    from alembic.script import ScriptDirectory

    revisions = ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions()
    assert tuple(r.revision for r in revisions)[::-1] == schema.REVISIONS


def test_opening_needs_no_alembic(tmp_path: Path) -> None:
    code = (
        "import sys; from rankwise.db import Store\n"
        "for _ in range(2): Store.open('rankwise.db').close()\n"
        "print([m for m in ('alembic', 'numpy', 'torch', 'psycopg', 'pandas') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_a_new_database_uses_wal() -> None:
    Store.open("rankwise.db").close()
    with closing(sqlite3.connect("rankwise.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_many_may_create_it_at_once(tmp_path: Path) -> None:
    def create(_: int) -> list[str]:
        with Store.open(str(tmp_path / "rankwise.db")) as store:
            return store.check()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(create, range(8))) == [[]] * 8


def test_a_plain_path_and_a_url_are_the_same(tmp_path: Path) -> None:
    with Store.open("odd name #1?.db") as store:
        store.networks.put("a" * 64, "net", (1, 4), USES)
    assert (tmp_path / "odd name #1?.db").exists()
    with Store.open(str(tmp_path / "odd name #1?.db"), create=False) as store:
        assert store.networks.layers("a" * 64) == USES
    with Store.open("sqlite:///plain.db") as store:
        store.networks.put("a" * 64, "net", (1, 4), USES)
    with Store.open("plain.db", create=False, readonly=True) as store:
        assert store.networks.layers("a" * 64) == USES


def test_an_upgrade_of_what_is_up_to_date(tmp_path: Path) -> None:
    Store.open("rankwise.db").close()
    assert upgrade("rankwise.db") == f"rankwise.db is up to date (schema {schema.REVISIONS[-1]})"
    assert not list(tmp_path.glob("*backup*"))


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{before}"


def upgrade():
    op.add_column("networks", sa.Column("note", sa.Text(), nullable=True))
    {then}
"""


@pytest.fixture
def future(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of today's schema, seen by a rankwise that has one more migration."""
    with Store.open("rankwise.db") as store:
        store.networks.put("a" * 64, "net", (1, 4), USES)
    migrations = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, migrations)
    monkeypatch.setattr(schema, "MIGRATIONS", migrations)
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9001"))
    write_next(migrations, "pass")
    return migrations


def write_next(migrations: Path, then: str) -> None:
    text = NEXT.format(before=schema.REVISIONS[-2], then=then)
    (migrations / "versions" / "r9001_note.py").write_text(text)


@pytest.mark.usefixtures("future")
def test_an_older_schema_is_named() -> None:
    with pytest.raises(StoreError, match=r"older rankwise .* run `rankwise db upgrade`"):
        Store.open("rankwise.db")


@pytest.mark.usefixtures("future")
def test_an_upgrade_keeps_a_backup() -> None:
    old = schema.REVISIONS[-2]
    before = statements(Path("rankwise.db"))
    said = upgrade("rankwise.db")
    assert said.startswith("rankwise.db was upgraded to schema 9001")
    backup = Path(f"rankwise.db.backup-{old}")
    assert str(backup) in said
    assert statements(backup) == before
    assert "note" in " ".join(statements(Path("rankwise.db")))
    with Store.open("rankwise.db") as store:
        assert store.networks.layers("a" * 64) == USES


@pytest.mark.usefixtures("future")
def test_a_second_backup_does_not_overwrite_the_first() -> None:
    first = Path(f"rankwise.db.backup-{schema.REVISIONS[-2]}")
    first.write_text("precious")
    upgrade("rankwise.db")
    assert first.read_text() == "precious"
    assert Path(f"{first}-2").exists()


def test_a_failed_upgrade_changes_nothing(future: Path) -> None:
    write_next(future, "op.execute('SELECT * FROM nowhere')")
    before = statements(Path("rankwise.db"))
    with pytest.raises(StoreError, match="no such table: nowhere"):
        upgrade("rankwise.db")
    assert statements(Path("rankwise.db")) == before


@pytest.mark.usefixtures("future")
def test_what_is_newer_or_not_ours_is_not_upgraded() -> None:
    with closing(sqlite3.connect("rankwise.db")) as connection, connection:
        connection.execute("UPDATE rankwise_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer rankwise"):
        upgrade("rankwise.db")
    with closing(sqlite3.connect("other.db")) as connection:
        connection.execute("CREATE TABLE x (y)")
    with pytest.raises(StoreError, match="not a rankwise database"):
        upgrade("other.db")
