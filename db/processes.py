"""Which process measures, and whether it is still there."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

ELSEWHERE_GONE_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Owner:
    """A process on one boot of one host. `started` tells a process from a later one that
    was given the same number."""

    host: str
    boot: str
    pid: int
    started: float


def this_process() -> Owner:
    """Return the process that runs this code."""
    pid = os.getpid()
    return Owner(platform.node(), _boot(), pid, _started(pid) or 0.0)


def is_gone(owner: Owner, session_started_at: str, now: str) -> bool:
    """Whether nobody will write to this owner's sessions any more. A process on another
    host cannot be seen: it counts as gone a day after its session began (a session lasts
    minutes). Both times are by the database's clock: machines differ."""
    if not is_here(owner):
        age = datetime.fromisoformat(now) - datetime.fromisoformat(session_started_at)
        return age > ELSEWHERE_GONE_AFTER
    return is_gone_here(owner)


def is_here(owner: Owner) -> bool:
    """Whether it is a process of this machine."""
    return owner.host == platform.node()


def is_gone_here(owner: Owner) -> bool:
    """Whether a process of this machine is there no more."""
    return owner.boot != _boot() or _started(owner.pid) != owner.started


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _started(pid: int) -> float | None:
    """Seconds from the boot to the process's start; None when there is none, or only its
    corpse. Not the time of day, which jumps when somebody sets the clock."""
    path = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _started_by_clock(pid)
    try:
        # the name, in brackets, may hold anything
        fields = path.read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _started_by_clock(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
