"""The processors and the priority of a measuring process.

Both are set for as long as a block lasts and restored afterwards. What the system does not allow
stays as it is: a container may forbid both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path

NICE = -5
"""Priority of a measuring process where the user may raise it; it is never lowered."""
OOM_SCORE = "1000"
"""The kernel ends processes of this score first."""
TOPOLOGY = Path("/sys/devices/system/cpu")


@contextmanager
def process_affinity(threads: int) -> Iterator[dict[str, object]]:
    """Take one processor for each thread, of different cores where there are enough, and raise
    the priority. Yields what was reached. `threads` 0 leaves the processors alone."""
    nice, allowed = _nice(), _affinity()
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, min(NICE, nice))
    if allowed and 0 < threads < len(allowed):
        with suppress(OSError):
            os.sched_setaffinity(0, choose_processors(allowed, threads))
    try:
        yield {"nice": _nice(), "processors": sorted(_affinity())}
    finally:
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        if allowed:
            with suppress(OSError):
                os.sched_setaffinity(0, allowed)


def choose_processors(allowed: set[int], count: int, topology: Path = TOPOLOGY) -> set[int]:
    """Return the last `count` processors, one of each core first: interrupts prefer the low
    numbers, and two hardware threads of one core share its arithmetic."""
    cores: dict[str, list[int]] = {}
    for number in sorted(allowed, reverse=True):
        cores.setdefault(_core(number, topology), []).append(number)
    rounds = zip_longest(*cores.values())
    order = [number for one_each in rounds for number in one_each if number is not None]
    return set(order[:count])


def _core(number: int, topology: Path) -> str:
    parts = (
        topology / f"cpu{number}/topology" / name for name in ("physical_package_id", "core_id")
    )
    try:
        return " ".join(part.read_text().strip() for part in parts)
    except OSError:
        return f"processor {number}"


def offer_to_oom_killer() -> None:
    """Have the kernel end this process before others when memory runs out (Linux)."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def _nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else 0


def _affinity() -> set[int]:
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()
