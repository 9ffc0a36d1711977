"""`package.module:callable`, looked up as `python -m` would from the working directory."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ModelError, first_line

LIBRARIES = ("timm", "torchvision", "hf")
"""What may stand before the colon of a library's network; see `libraries`."""


def is_library(text: str) -> bool:
    """Whether the text names a network of a library: `timm:NAME`, `hf:OWNER/NAME`, ..."""
    library, _, name = text.partition(":")
    return bool(name) and library in LIBRARIES


def is_callable_path(text: str) -> bool:
    """Whether the text has the form `package.module:callable`."""
    place, _, name = text.partition(":")
    return all(part.isidentifier() for part in (*place.split("."), name))


def find_callable(text: str) -> tuple[Callable[..., Any], ModuleType]:
    """Return the callable and its module: `package.module`, or its `models` (as some have).

    Raises `ModelError` with one sentence.
    """
    if not is_callable_path(text):
        raise ModelError(f"{text!r} is not of the form package.module:callable")
    place, _, name = text.partition(":")
    with working_directory_importable():
        home = _import(place)
        if not hasattr(home, name) and _has_models(home):
            home = _import(f"{place}.models")
    value = getattr(home, name, None)
    if not callable(value):
        raise ModelError(f"{place} has no callable {name}")
    return value, home


def _has_models(home: ModuleType) -> bool:
    # Asking for a submodule of a plain module is an error.
    return hasattr(home, "__path__") and bool(importlib.util.find_spec(f"{home.__name__}.models"))


def _import(place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except Exception as error:
        # Importing runs the user's code, which may raise anything.
        raise ModelError(f"cannot import {place}: {first_line(error)}") from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch, numpy and Python draw the same numbers inside, and go on outside as if nothing had
    been drawn."""
    import random

    import numpy as np
    import torch

    own, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(own)
            np.random.set_state(numpys)


@contextmanager
def working_directory_importable() -> Iterator[None]:
    """Put the working directory first on `sys.path` for a while."""
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before
