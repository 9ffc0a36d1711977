"""A worker joins once its devices are known, and holds them before it comes to its scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rankwise.errors import StoreUnreachable
from rankwise.fleet import membership
from rankwise.fleet.member import Member


class Joining:
    """A membership whose store answers at the third try."""

    resources = {"host": 1.0, "id=ab12": 1.0}  # noqa: RUF012
    tries = 0

    def register(self, worker: str) -> None:
        Joining.tries += 1
        assert worker == "tcp://bench:1"
        if Joining.tries < 3:
            raise StoreUnreachable("the store is away")

    def close(self) -> None:
        """Nothing was opened."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(membership, "RETRY_S", 0.0)
    yield
    membership.leave()


def test_a_store_that_is_away_is_waited_for() -> None:
    state = SimpleNamespace(total_resources={}, available_resources={})
    worker: Any = SimpleNamespace(contact_address="tcp://bench:1", state=state)
    opened: list[Joining] = []

    def open_one() -> Member:
        opened.append(Joining())
        if len(opened) == 1:
            raise StoreUnreachable("the store is away")
        return opened[-1]  # type: ignore[return-value]

    asyncio.run(membership.join(worker, open_one))
    assert len(opened) == 4
    assert state.total_resources == state.available_resources == Joining.resources
    assert membership.member() is opened[-1]
    assert membership.address() == "tcp://bench:1"
    membership.leave()
    with pytest.raises(IndexError):
        membership.member()
