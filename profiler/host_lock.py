"""One timing at a time on a machine: a lock that all users and stores of the host share.

It is a lock of the operating system (flock) on a file, so it ends with the processes that hold it
and can be neither forgotten nor doubled. Whoever holds it hands it on to the measuring processes
that it starts: they hold it, too, until the last of them is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "RANKWISE_HOST_LOCK"
DEFAULT = "/tmp/rankwise-host.lock"
"""Not the folder for temporary files, which may be a user's own."""
_held: list[int] = []


def lock_path() -> Path:
    """The file; containers that share a machine name one that they share, too."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def handed_on() -> tuple[int, ...]:
    """Descriptors that a process which times must inherit."""
    return tuple(_held)


@contextmanager
def host_lock() -> Iterator[None]:
    """Hold the lock; whoever comes second waits. Raises `OSError` if there can be no such file."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows: whoever runs jobs has to keep them in order
        yield
        return
    descriptor = _opened(lock_path())
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _held.append(descriptor)
        yield
    finally:
        with suppress(ValueError):
            _held.remove(descriptor)
        os.close(descriptor)


def _opened(path: Path) -> int:
    """The file, made if there is none. Everybody may read it, which is all that a lock takes:
    another user's file in a folder that all may write to must not be opened in order to write."""
    with suppress(FileExistsError):
        made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o444)
        os.fchmod(made, 0o444)  # whatever the mask says
        return made
    return os.open(path, os.O_RDONLY)
