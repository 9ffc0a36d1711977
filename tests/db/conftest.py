"""Every test of the store runs on SQLite and on PostgreSQL: a server of the tests' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from rankwise.db import Store
from rankwise.db.url import locate

from ..postgres_server import Server
from ..postgres_server import server as server
from .archives import HERE, fill


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Each call gives the URL of another database that is empty."""
    if request.param == "sqlite":
        numbers = count()
        return lambda: f"sqlite:///{tmp_path}/store{next(numbers)}.db"
    server: Server = request.getfixturevalue("server")
    return server.url


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def execute(url: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Run SQL in the store's database, past the store."""

    def run(sql: str, **values: object) -> list[tuple[Any, ...]]:
        engine = create_engine(locate(url).engine_url)
        try:
            with engine.begin() as connection:
                result = connection.execute(text(sql), values)
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()

    return run


@pytest.fixture
def full(new_url: Callable[[], str]) -> Iterator[Store]:
    with Store.open(new_url()) as store:
        fill(store, HERE)
        yield store


@pytest.fixture
def exported(full: Store, tmp_path: Path) -> Path:
    full.export_archive(tmp_path / "lab.zip")
    return tmp_path / "lab.zip"
