"""Where a measuring process keeps its memory: with itself, or given back after every operator.

Torch on a processor allocates every result anew. glibc gives large blocks back to the system at
once and asks for them again, and the page faults of that took 28% of the demosaicking network's
time; whether the top of the heap is given back depends on what happens to lie there, so that the
same plan was 1.00 to 1.10 times as fast as the original from process to process. A service that has
run for a while keeps its heap, as other allocators do, and so do measuring processes.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

KEPT: Mapping[str, str] = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""glibc's words for: no blocks outside the heap, nothing given back, 64 MiB more at a time."""
SAID_BY_USERS = ("LD_PRELOAD", "GLIBC_TUNABLES")


def is_set(environment: Mapping[str, str]) -> bool:
    """Whether the user has an allocator, or settings of it, of their own."""
    own = {name for name in environment if name.startswith("MALLOC_")}
    same = all(environment.get(name) == value for name, value in KEPT.items())
    return any(name in environment for name in SAID_BY_USERS) or bool(own and not same)


def keeping(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that measures; the user's own settings stay."""
    return dict(environment) if is_set(environment) else {**environment, **KEPT}


def described(environment: Mapping[str, str] = os.environ) -> str:
    """What measuring processes do, for a fingerprint: the same in all of them."""
    if is_set(environment):
        names = [n for n in environment if n.startswith("MALLOC_") or n in SAID_BY_USERS]
        return " ".join(f"{name}={environment[name]}" for name in sorted(names))
    return "kept" if platform.libc_ver()[0] == "glibc" else "as the system has it"
