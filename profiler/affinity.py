"""How a measuring process stands among others: which processors, which priority.

Set for as long as the block lasts and put back afterwards. What the system does not allow is
left as it is: a container may forbid both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NICE = -5
"""Before others, where the user may ask for that; never behind them."""
OOM_FIRST = "1000"
TOPOLOGY = Path("/sys/devices/system/cpu")


@contextmanager
def process_affinity(threads: int) -> Iterator[dict[str, object]]:
    """One processor for each thread, of different cores where there are enough; a raised
    priority. Yields what was reached. `threads` 0 leaves the processors alone."""
    nice, allowed = _nice(), _affinity()
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, min(NICE, nice))
    if allowed and 0 < threads < len(allowed):
        with suppress(OSError):
            os.sched_setaffinity(0, chosen(allowed, threads))
    try:
        yield {"nice": _nice(), "processors": sorted(_affinity())}
    finally:
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        if allowed:
            with suppress(OSError):
                os.sched_setaffinity(0, allowed)


def chosen(allowed: set[int], count: int, topology: Path = TOPOLOGY) -> set[int]:
    """The last `count` processors, one of each core first: interrupts prefer the low numbers,
    and two hardware threads of one core share its arithmetic."""
    cores: dict[str, list[int]] = {}
    for number in sorted(allowed, reverse=True):
        cores.setdefault(_core(number, topology), []).append(number)
    turns = max(map(len, cores.values()))
    order = [mine[turn] for turn in range(turns) for mine in cores.values() if turn < len(mine)]
    return set(order[:count])


def _core(number: int, topology: Path) -> str:
    parts = (
        topology / f"cpu{number}/topology" / name for name in ("physical_package_id", "core_id")
    )
    try:
        return " ".join(part.read_text().strip() for part in parts)
    except OSError:
        return f"processor {number}"


def die_first() -> None:
    """If memory runs out, the kernel should take this process (Linux)."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_FIRST)


def _nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else 0


def _affinity() -> set[int]:
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()
