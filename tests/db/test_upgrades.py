"""Stores of every released schema, as that release wrote them, brought to today's."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect, select, text

from rankwise.db import MeasurementFilter, Store, schema, tables
from rankwise.db.database import Database
from rankwise.db.schema import upgrade
from rankwise.db.url import locate
from rankwise.errors import StoreError

ASSETS = Path(__file__).parents[1] / "assets"
RELEASED = schema.REVISIONS[:-1]
NETWORK = "ab" * 32
GONE = {"calibrations", "error_curves"}
"""Tables that a later schema has not; nothing but an import ever wrote to them."""
RENAMED = {"circumstances": "run_metadata"}
Rows = dict[str, list[tuple[Any, ...]]]


def test_a_file_of_every_released_schema_is_kept() -> None:
    assert [p.name for p in sorted(ASSETS.glob("store_*.db.gz"))] == [
        f"store_{revision}.db.gz" for revision in RELEASED
    ]


def unpacked(revision: str, folder: Path) -> Path:
    path = folder / "old.db"
    path.write_bytes(gzip.decompress((ASSETS / f"store_{revision}.db.gz").read_bytes()))
    return path


def rows(connection: Connection, names: list[str] | None = None) -> Rows:
    """All rows of all tables (or of these), by table; columns by name."""
    found = MetaData()
    found.reflect(connection)
    return {
        table.name: sorted(
            (tuple(sorted(row.items())) for row in connection.execute(select(table)).mappings()),
            key=repr,
        )
        for table in found.sorted_tables
        if table.name in (names or found.tables) and table.name not in (tables.VERSION_TABLE, *GONE)
    }


@pytest.fixture(params=RELEASED)
def old_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return unpacked(request.param, tmp_path)


@pytest.fixture(params=RELEASED)
def old(request: pytest.FixtureRequest, new_url: Callable[[], str], tmp_path: Path) -> str:
    """The URL of an old store; on a server, the file's rows in tables of its schema."""
    path = unpacked(request.param, tmp_path)
    url = new_url()
    return f"sqlite:///{path}" if url.startswith("sqlite") else _onto(url, path, request.param)


def _onto(url: str, path: Path, revision: str) -> str:
    database = Database(locate(url), create=True, readonly=False)
    with database.writing() as connection:
        _migrate_to(connection, revision)
    _copy(create_engine(f"sqlite:///{path}"), database.engine)
    database.dispose()
    return url


def _migrate_to(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _copy(source: Engine, target: Engine) -> None:
    found = MetaData()
    found.reflect(source)
    with source.connect() as reading, target.begin() as writing:
        for table in found.sorted_tables:
            values = [dict(row) for row in reading.execute(select(table)).mappings()]
            if values and table.name != tables.VERSION_TABLE:
                writing.execute(table.insert(), values)
        for table in found.sorted_tables:
            if "id" in table.c:
                sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
                writing.execute(text(f"SELECT setval({sequence}, 1000)"))
    source.dispose()


def test_an_old_store_is_refused_with_the_sentence_that_helps(old: str) -> None:
    with pytest.raises(StoreError, match=r"older rankwise .* run `rankwise db upgrade`"):
        Store.open(old)


def test_nothing_of_an_old_store_is_lost(old: str) -> None:
    engine = create_engine(locate(old).engine_url)
    with engine.connect() as connection:
        before = rows(connection)
    said = upgrade(old)
    assert f"upgraded to schema {schema.REVISIONS[-1]}; as it was before" in said
    with engine.connect() as connection:
        after = rows(connection, list(before))
        versions = connection.execute(text(f"SELECT version_num FROM {tables.VERSION_TABLE}"))
        assert versions.scalars().all() == [schema.REVISIONS[-1]]
    engine.dispose()
    assert before.keys() == after.keys()
    for name, old_rows in before.items():
        new_rows = [dict(row) for row in after[name]]
        assert len(new_rows) == len(old_rows), name
        # a column may have been added: what was there is there
        names = dict(old_rows[0]).keys() if old_rows else ()
        kept = [tuple((n, row[RENAMED.get(n, n)]) for n in sorted(names)) for row in new_rows]
        assert sorted(kept, key=repr) == old_rows, name


def test_an_upgraded_store_works(old: str) -> None:
    assert "upgraded" in upgrade(old)
    with Store.open(old) as store:
        assert len(store.measurements.find(MeasurementFilter(network_sha=NETWORK))) == 6
        assert store.sessions.recover() == 1  # it was cut off before the upgrade
        assert store.check() == []
        [plan] = store.plans.all(NETWORK)
        assert store.plans.verifications(plan[0]) == [{"speedup": 1.5}]
        assert [job.uuid for job in store.jobs.page()[0]] in ([], ["ef" * 16])
    assert upgrade(old).endswith(f"is up to date (schema {schema.REVISIONS[-1]})")


def test_an_upgraded_store_has_the_schema_of_a_new_one(old: str, new_url: Any) -> None:
    upgrade(old)
    fresh = new_url()
    Store.open(fresh).close()
    described = []
    for url in (old, fresh):
        engine = create_engine(locate(url).engine_url)
        inspector = inspect(engine)
        described.append(
            {
                name: (
                    [
                        (c["name"], str(c["type"]), c["nullable"])
                        for c in inspector.get_columns(name)
                    ],
                    inspector.get_pk_constraint(name)["constrained_columns"],
                    sorted(
                        str(key["constrained_columns"]) for key in inspector.get_foreign_keys(name)
                    ),
                    sorted(str(key["column_names"]) for key in inspector.get_indexes(name)),
                )
                for name in [*inspector.get_table_names(), *inspector.get_view_names()]
                if name in tables.metadata.tables or name.startswith("v_")
            }
        )
        engine.dispose()
    assert described[0] == described[1]


def test_the_backup_is_the_old_store(old_file: Path) -> None:
    version = old_file.with_name("version")
    upgrade(str(old_file))
    [backup] = old_file.parent.glob("old.db.backup-*")
    original = unpacked(backup.suffix.removeprefix(".backup-"), version.parent)
    engines = [create_engine(f"sqlite:///{path}") for path in (backup, original)]
    found = []
    for engine in engines:
        with engine.connect() as connection:
            found.append(rows(connection))
        engine.dispose()
    assert found[0] == found[1]


def test_what_came_with_the_second_schema_is_read(tmp_path: Path) -> None:
    old = str(unpacked("0002", tmp_path))
    upgrade(old)
    with Store.open(old) as store:
        errors = store.sensitivities.get(NETWORK, "cd" * 32)
        assert list(errors.values()) == [(0.25, 0.5)]
        job = store.jobs.get("ef" * 16)
        assert job is not None
        assert (job.state, job.request) == ("queued", {"network": "net"})


@pytest.mark.parametrize("revision", RELEASED)
def test_the_backup_on_a_server_is_a_schema(server: Any, revision: str, tmp_path: Path) -> None:
    old = _onto(server.url(), unpacked(revision, tmp_path), revision)
    said = upgrade(old)
    name = said.rpartition("schema ")[2]
    engine = create_engine(locate(old).engine_url)
    with engine.connect() as connection:
        kept = connection.scalar(text(f"SELECT count(*) FROM {name}.summaries"))
        assert kept == connection.scalar(text("SELECT count(*) FROM summaries"))
        columns = {c["name"] for c in inspect(connection).get_columns("sessions", schema=name)}
        copied = set(inspect(connection).get_table_names(schema=name))
    engine.dispose()
    before_0003 = revision < "0003"
    assert ("circumstances" in columns) is before_0003
    assert ("calibrations" in copied) is before_0003  # what the upgrade drops, too
