"""How much memory a worker process may take, and how much it has taken."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
SHARE = 0.8
"""Share of the memory available at its start that a worker may take."""


def allowance(root: Path = CGROUP) -> int:
    """Return the bytes that a worker may take: a share of what the machine and the container
    have left."""
    left = [psutil.virtual_memory().available]
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # no such file; or "max", which is no number
            limit = int((root / most).read_text()) - int((root / used).read_text())
            left.append(max(limit, 0))
    return int(SHARE * min(left))


def taken(pid: int) -> int:
    """Return the bytes that a process and its children have in memory; 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        processes = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for one in processes:
        with suppress(psutil.Error):
            total += one.memory_info().rss
    return total
