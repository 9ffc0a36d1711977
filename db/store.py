"""The store: everything that was measured, in one database, behind plain records."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..errors import StoreError
from . import checks, clock, prune, schema
from .database import BUSY_TIMEOUT_S, Database
from .failures import Failures
from .fleet import Fleet
from .jobs import Jobs
from .measurements import Measurements
from .networks import Networks
from .plans import Plans
from .sensitivities import Sensitivities
from .sessions import Sessions
from .url import locate, require_usable

if TYPE_CHECKING:
    from .importing import Merged


class Store:
    """One database and its repositories. Every method of theirs is a transaction: it happened
    as a whole, or not at all.

    A method that writes returns after its commit; what it wrote then survives `kill -9`.
    Readers never wait for the writer; writers wait for each other (`busy_timeout_s`).
    Methods raise `StoreError`. Safe to use from several threads.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.networks = Networks(database)
        self.sessions = Sessions(database)
        self.failures = Failures(database)
        self.measurements = Measurements(database)
        self.plans = Plans(database)
        self.sensitivities = Sensitivities(database)
        self.jobs = Jobs(database)
        self.fleet = Fleet(database)

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
        location = locate(url)
        require_usable(location, create=create, readonly=readonly)
        create = create and not readonly
        database = Database(
            location, create=create, readonly=readonly, busy_timeout_s=busy_timeout_s
        )
        try:
            schema.prepare(database, create=create)
        except BaseException:
            database.dispose()
            raise
        return cls(database)

    def close(self) -> None:
        """Close. Sessions that were begun here and not ended are ended from their samples."""
        with suppress(StoreError):  # else the next profile's `sessions.recover` does it
            self.sessions.end_own()
        self.database.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def check(self) -> list[str]:
        """One sentence for each thing that is wrong with the database."""
        with self.database.reading() as connection:
            return checks.check(connection)

    def export_archive(self, target: Path) -> dict[str, int]:
        """Write everything but jobs into one portable file; how many of each kind there were.
        Sessions that still run are left out, and counted as `open_sessions`."""
        from . import archive, exporting

        with archive.writing(target) as writer, self.database.reading() as connection:
            return exporting.export(connection, writer)

    def import_archive(self, source: Path) -> Merged:
        """Merge such a file. Importing it again changes nothing.

        Raises `StoreError`, with nothing imported, for a file that is damaged or contradicts
        itself or this store.
        """
        from . import archive, importing

        with archive.reading(source) as reader:
            return importing.merge(reader, self.database)

    def ago(self, age: timedelta) -> str:
        """The time that was so long ago, by the database's clock, as those of sessions."""
        with self.database.reading() as connection:
            return clock.ago(connection, age)

    def prune(self, before: str, *, dry_run: bool = False, compact: bool = False) -> prune.Pruned:
        """Drop the raw samples of sessions that ended before a time (UTC, ISO 8601). Summaries
        stay.

        `compact` gives the room back to the disk, which needs as much again while it runs.
        """
        return prune.prune(self.database, before, dry_run=dry_run, compact=compact)
