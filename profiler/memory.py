"""How much memory a measuring process may take, and how much it has."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
SHARE = 0.8
"""Of the memory that is available when the process starts."""


def allowance(root: Path = CGROUP) -> int:
    """Bytes that a measuring process may take: a share of what the machine and the container
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
    """Bytes that a process and what it started have in memory; 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        everyone = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for one in everyone:
        with suppress(psutil.Error):
            total += one.memory_info().rss
    return total
