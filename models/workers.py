"""Work shared out to threads, one a processor, with the results in order.

Networks run batch by batch in threads that compute with one thread each. Libraries' own threads
wait for each other many times in a network, and wait by spinning: beside other work that costs
several times what the computing does.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    work: Callable[[Given], Made],
    items: Iterable[Given],
    workers: int,
    start: Callable[[], object] = lambda: None,
) -> Iterator[Made]:
    """Yield what `work` makes of each item, in the items' order.

    Each of the `workers` threads calls `start` first. At most one result more than there are
    workers is made ahead of what was taken, so that memory stays bounded. What `work` raises is
    raised here, and what has not begun by then is left out.
    """
    ahead: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers, initializer=start) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(work, item))
                if len(ahead) > workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for left in ahead:
                left.cancel()
