"""The number of threads that torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import UsageError


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Set torch's threads, which belong to the process, for a while; None leaves them alone."""
    before = torch.get_num_threads()
    if count is not None and count < 1:
        raise UsageError(f"--threads must be at least 1, not {count}")
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
