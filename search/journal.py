"""Optuna's journal file: one study's file, opened carefully."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StoreError

if TYPE_CHECKING:
    import optuna


def open_study(path: Path, name: str) -> optuna.Study:
    """The study of that name in the journal file, new where there is none.

    Raises `StoreError` where the file is not a journal or cannot be written.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    try:
        lock = JournalFileSymlinkLock(str(path))
        lock.acquire()
        try:
            _drop_unfinished_line(path)
        finally:
            lock.release()
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"The study file {path} cannot be used ({error}): move it away or name another one."
        ) from error


def _drop_unfinished_line(path: Path) -> None:
    """Cut off what a killed process left half written: Optuna would append to that line, and
    never read the file again. Raises `ValueError` for a file that is no journal."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        first = file.readline()
        if not _is_journal(first):
            raise ValueError("it is not a journal of studies")
        content = first + file.read()
        file.truncate(content.rfind(b"\n") + 1)


def _is_journal(first: bytes) -> bool:
    """Whether a journal's first line, which may be cut off, looks so."""
    if not first.endswith(b"\n"):
        start = b'{"op_code":'
        return first[: len(start)] == start[: len(first)]
    document = json.loads(first)
    return isinstance(document, dict) and "op_code" in document
