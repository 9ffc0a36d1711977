"""A store that is open: where it is, its transactions, and how it is closed."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from ..errors import StoreError
from . import schema
from .curves import Cache
from .database import BUSY_TIMEOUT_S, Database
from .url import locate, read_only, require_usable


class Opened:
    """What every part of the store stands on."""

    def __init__(self, database: Database, *, readonly: bool) -> None:
        self._database = database
        self._readonly = readonly
        self._own_sessions: set[int] = set()
        self._cache = Cache(database.place.companion(".cache"))

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = True,
        readonly: bool = False,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> Self:
        """Open, and if there is none create, the database at a URL or path.

        `readonly` opens what cannot be written, too. Raises `StoreError` with one sentence.
        """
        place = locate(url)
        require_usable(place, create=create, readonly=readonly)
        create = create and not readonly
        database = Database(place, create=create, readonly=readonly, busy_timeout_s=busy_timeout_s)
        try:
            schema.prepare(database, create=create)
        except BaseException:
            database.dispose()
            raise
        return cls(database, readonly=readonly)

    def close(self) -> None:
        """Close. Sessions that were begun here and not ended are ended from their samples."""
        with suppress(StoreError):  # else the next profile's `recover_sessions` does it
            self._close_sessions()
        self._database.dispose()

    def _close_sessions(self) -> None:
        """End what this store began."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._database.reading()

    def _writing(
        self, *, shared: bool = False, durable: bool = True
    ) -> AbstractContextManager[Connection]:
        """See `Database.writing`."""
        place = self._database.place
        if self._readonly and place.writable:
            raise StoreError(f"{place.name} was opened for reading only; open it for writing")
        if self._readonly:
            raise read_only(place)
        return self._database.writing(shared=shared, durable=durable)
