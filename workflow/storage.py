"""Looking after the store: `rankwise db ...`, and where its companions lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..db.store import Store

DEFAULT_DB = "sqlite:///rankwise.db"


def check(db: str = DEFAULT_DB) -> list[str]:
    """What is wrong with the store, a sentence each; empty if nothing is."""
    from ..db.store import Store

    with Store.open(db, create=False, readonly=True) as store:
        return store.check()


def upgrade(db: str = DEFAULT_DB) -> str:
    """Bring the store to this version's schema. Returns what was done, in one sentence."""
    from ..db import store

    return store.upgrade(db)


def companion(db: str, suffix: str) -> Path:
    """A file or folder that belongs to the store and lies beside it, such as `.optuna.db`.

    A store that is no file (a server's URL) has its companions in the working directory.
    """
    path = db.removeprefix("sqlite:///") if db.startswith("sqlite:///") else db
    return Path("rankwise" if "://" in path else path).with_suffix(suffix)


def open_store(db: str, *, create: bool = True) -> Store:
    """The store itself, for a program that keeps it open: a service."""
    from ..db.store import Store

    return Store.open(db, create=create)
