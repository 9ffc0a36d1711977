"""A server fails or refuses: one sentence, and what was committed is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from rankwise.db import Store
from rankwise.db.url import locate

from .faults import NETWORK, USES, add, begin, complaint


def test_a_lost_connection(server: Any) -> None:
    url = server.url()
    with Store.open(url) as store:
        session = begin(store)
        add(store, session, 0)
        engine = create_engine(locate(url).engine_url)

        def kick() -> None:
            with engine.begin() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                    )
                )

        def lose() -> None:
            with store.database.writing():
                kick()

        assert "connection to postgresql://" in complaint(lose)
        kick()
        add(store, session, 1)  # a lost connection is made anew
        engine.dispose()
        assert execute_on(url, "SELECT count(*) FROM samples") == 4


def execute_on(url: str, sql: str) -> Any:
    engine = create_engine(locate(url).engine_url)
    with engine.begin() as connection:
        result = connection.execute(text(sql))
        found = result.scalar() if result.returns_rows else None
    engine.dispose()
    return found


def test_a_server_that_another_program_keeps_busy(server: Any) -> None:
    url = server.url()
    with Store.open(url, busy_timeout_s=0.05) as store, Store.open(url) as other:
        session = begin(store)
        with other.database.writing():
            busy = complaint(lambda: store.networks.put(NETWORK, "net", (1, 8), USES))
            assert "is locked by another program" in busy
            add(store, session, 0)  # rounds do not wait
            assert store.networks.all() == []  # readers neither
        store.networks.put(NETWORK, "net", (1, 8), USES)


def test_a_user_of_the_server_who_may_only_read(server: Any) -> None:
    url = server.url()
    with Store.open(url) as store:
        store.networks.put(NETWORK, "net", (1, 8), USES)
    schema = locate(url).engine_url.query["options"].rpartition("=")[2]
    for statement in (
        "CREATE ROLE reader LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader",
    ):
        execute_on(url, statement)
    reader = url.replace(f"{server.user}@", "reader@")
    with Store.open(reader) as store:
        assert store.networks.all()[0][0] == NETWORK
        text = complaint(lambda: store.networks.put(NETWORK, "moved", (1, 8), USES))
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
    engine = create_engine(locate(url).engine_url)
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
        store.networks.put(NETWORK, "net", (1, 8), USES)
    with Store.open(url, readonly=True) as store:
        assert store.networks.all()[0][0] == NETWORK
        text = complaint(lambda: store.networks.put(NETWORK, "moved", (1, 8), USES))
    assert "opened for reading only" in text
