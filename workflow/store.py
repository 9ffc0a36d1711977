"""Looking after the store: `rankwise db ...`, and where its companions lie."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from ..db import schema
from ..db.importing import Merged
from ..db.store import Store
from ..db.url import companion, locate
from ..errors import UsageError
from ..factors.array_cache import ArrayCache
from ..options.shared import DEFAULT_DB
from ..options.texts import parse_age


def check_store(db: str = DEFAULT_DB) -> list[str]:
    """What is wrong with the store, a sentence each; empty if nothing is.

    >>> rw.check_store()
    []
    """
    with Store.open(db, create=False, readonly=True) as store:
        return store.check()


def upgrade_store(db: str = DEFAULT_DB) -> str:
    """Bring the store to this version's schema. Returns what was done, in one sentence.

    >>> rw.upgrade_store()
    'rankwise.db is up to date (schema ...)'
    """
    return schema.upgrade(db)


def export_store(target: Path | str, db: str = DEFAULT_DB) -> str:
    """Write the store's content into one portable file, which is not to exist yet. Returns what was
    written.

    >>> rw.export_store("lab.zip")
    'lab.zip: ... sessions on 1 devices'
    """
    target = Path(target)
    with Store.open(db, create=False, readonly=not locate(db).writable) as store:
        if locate(db).writable:
            store.sessions.recover()  # what was cut off comes along
        counts = store.export_archive(target)
    written = f"{target}: {counts['sessions']} sessions on {counts['devices']} devices"
    left = counts["open_sessions"]
    return written + (f"; {left} that are not ended are left out" if left else "")


def import_store(source: Path | str, db: str = DEFAULT_DB) -> str:
    """Merge a file that `export_store` wrote. Returns what was new; again, nothing is. A damaged
    file is refused, and changes nothing.

    >>> archive = rw.export_store("other.zip").split(":")[0]
    >>> rw.import_store(archive, db="sqlite:///merged.db")
    'other.zip: ... sessions with ... samples, 1 devices and ... other records are new; 0 ...'
    >>> rw.import_store(archive, db="sqlite:///merged.db")
    'other.zip: nothing new (... sessions are known)'
    """
    source = Path(source)
    with Store.open(db) as store:
        return f"{source}: {_described(store.import_archive(source))}"


def _described(merged: Merged) -> str:
    if not (merged.sessions or merged.samples or merged.others or merged.devices):
        return f"nothing new ({merged.known_sessions} sessions are known)"
    return (
        f"{merged.sessions} sessions with {merged.samples} samples, {merged.devices} devices and "
        f"{merged.others} other records are new; {merged.known_sessions} sessions were known"
    )


def prune_store(
    older_than: timedelta | str,
    db: str = DEFAULT_DB,
    *,
    dry_run: bool = False,
    compact: bool = False,
) -> str:
    """Drop raw samples of sessions that ended so long ago; summaries, and so tables, stay. Files
    of the cache that were not used for so long go, too.

    `older_than` is an age such as `90d`, `12h` or `8w`. Returns what was dropped. Raises
    `UsageError` for an age that is not positive.

    >>> rw.prune_store("90d", dry_run=True)
    '0 samples of 0 sessions and 0 files of the cache would be dropped; all summaries are kept'
    """
    if isinstance(older_than, str):
        older_than = timedelta(seconds=parse_age(older_than, "--older-than"))
    if older_than <= timedelta(0):
        raise UsageError("--older-than must be more than nothing")
    with Store.open(db, create=False, readonly=dry_run) as store:
        if not dry_run:
            store.sessions.resummarize()  # the last time that it can be done for these
        pruned = store.prune(store.ago(older_than), dry_run=dry_run, compact=compact)
    unused = ArrayCache(companion(db, ".cache")).unused(older_than.total_seconds())
    for path in [] if dry_run else unused:
        path.unlink(missing_ok=True)
    verb = "would be dropped" if dry_run else "dropped"
    return (
        f"{pruned.samples} samples of {pruned.sessions} sessions and {len(unused)} files of the "
        f"cache {verb}; all summaries are kept"
    )


def open_store(db: str, *, create: bool = True) -> Store:
    """The store itself, for a program that keeps it open: a service."""
    return Store.open(db, create=create)
