"""The module as callers see it: the documented functions, nothing else (behaviour 2)."""

from __future__ import annotations

import atexit
import types
from typing import Any

# each registers its calls
from . import live, mdl_data, mdl_model, mdl_run, rt_device, rt_event, rt_memory, top, util
from .calls import CALLS, function
from .runtime import Runtime
from .settings import Settings, version_tuple

__all__ = ["strict_module"]
_REGISTERED = (mdl_data, mdl_model, mdl_run, rt_device, rt_event, rt_memory, top, util)
SUB_MODULES = ("rt", "mdl", "op", "blas", "media", "util", "prof", "himpi", "fv")
"""Attributes, not packages: `import acl.rt` fails, as for any one extension module."""


def strict_module(name: str, spec: Any, file: str) -> types.ModuleType:
    """A new `acl` with a new state, which becomes the process's live one."""
    runtime = Runtime(Settings.read())
    live.RUNTIME = runtime
    atexit.register(runtime.process_ends)
    module = types.ModuleType(name, "Python bindings of AscendCL (a strict fake).")
    module.__spec__, module.__file__, module.__loader__ = spec, file, spec.loader
    parts = {part: types.ModuleType(f"{name}.{part}") for part in SUB_MODULES}
    for part, sub in parts.items():
        setattr(module, part, sub)
    for one in CALLS.values():
        if one.since <= version_tuple(runtime.settings.version):
            _, *middle, last = one.name.split(".")
            setattr(parts[middle[0]] if middle else module, last, function(runtime, one))
    return module
