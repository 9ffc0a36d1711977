"""Stores with measured rows, and copies of them that know nothing else."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from subjects import Subject

from rankwise.db.url import companion
from rankwise.workflow.profile import profile


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


def profiled(subject: Subject, backend: str, place: Path, **options: Any) -> Path:
    """A store with the subject's rows on that backend; measured if they are not there yet."""
    place.mkdir(parents=True, exist_ok=True)
    file = place / f"{subject.name}-{backend.replace(':', '-')}.db"
    where = {"backend": backend, "input_shape": subject.input_shape, "db": url_of(file)}
    profile(subject.path, **where, **options)
    return file


def fresh_copy(file: Path, to: Path) -> str:
    """The URL of a store with the same rows, without what is kept beside a store."""
    url = url_of(to)
    forget(to)
    with closing(sqlite3.connect(file)) as rows, closing(sqlite3.connect(to)) as copy:
        rows.backup(copy)
    return url


def forget(file: Path) -> None:
    """Delete a store and what is kept beside it, which may be large."""
    file.unlink(missing_ok=True)
    shutil.rmtree(companion(url_of(file), ".cache"), ignore_errors=True)
