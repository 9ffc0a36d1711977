"""Ctrl-C during training ends it after the step that is under way, so that the step is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def after_the_step() -> Iterator[Callable[[], bool]]:
    """Whether to end by now. A second Ctrl-C interrupts at once, as usual.

    Signals reach the main thread only; in another one this does nothing.
    """
    asked = False

    def ask(_number: int, _frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
