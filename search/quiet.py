"""Keep what other libraries say out of our output."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def silent_output() -> Iterator[None]:
    """HiGHS prints from C whatever its options say (`transformNewIntegerFeasibleSolution`),
    which would end up in the middle of a JSON document: send standard output to nowhere."""
    try:
        flush = ctypes.CDLL(None).fflush
        sys.stdout.flush()
        flush(None)
        saved = os.dup(1)
    except (OSError, TypeError, AttributeError, ValueError):
        yield  # no C library by that name, or no standard output: nothing to protect
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        flush(None)  # what C still holds back would come out after the switch
        os.dup2(saved, 1)
        os.close(saved)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """No log lines, and no warnings about what Optuna calls experimental."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Broken limits are told by values, too (study._Run.penalty).
            warnings.filterwarnings("ignore", "Constraints have been set")
            yield
    finally:
        optuna.logging.set_verbosity(before)
