"""acl itself: beginning, ending, and asking (R 02; H 0004, 0007, 0008; RS acl.cpp)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from .calls import RET, Failed, bare, call, nothing, pair, several
from .codes import SIZES
from .runtime import Runtime
from .settings import version_tuple

NEW = (8, 5)


@call("acl.init", "|s", RET, "")
def init(runtime: Runtime, config: str = "") -> None:
    """Behaviour 3. "" is no configuration."""
    if any(Path(p).name == "devlib" for p in os.environ.get("LD_LIBRARY_PATH", "").split(":")):
        raise Failed(100039, "the library path leads to the stubs for compiling")
    if config:
        _require_config(config)
    if runtime.initialised:
        if config != runtime.config:
            raise Failed(100000, "initialised before, with another configuration")
        runtime.references += 1
        raise Failed(100002, "initialised before")
    if runtime.chip is None:
        raise Failed(500000, "the SoC's name cannot be had")
    if runtime.finalised:
        runtime.violation("init after finalize in one process: older manuals forbid it")
    runtime.config = config
    runtime.begin()


@call("acl.finalize", "", RET, "")
def finalize(runtime: Runtime) -> None:
    """Behaviour 4. Not from a destructor (H 0005)."""
    _require_initialised(runtime)
    frame = sys._getframe()  # noqa: SLF001 - the stack has no public name
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            runtime.violation("finalize was called from a destructor")
        frame = frame.f_back  # type: ignore[assignment]
    runtime.finalise()


@call("acl.finalize_reference", "", pair(), "", since=NEW)
def finalize_reference(runtime: Runtime) -> int:
    """Counts down; the last one finalises."""
    _require_initialised(runtime)
    runtime.references -= 1
    left = runtime.references
    if not left:
        finalize(runtime)
    return left


@call("acl.get_soc_name", "", bare(nothing), "")
def get_soc_name(runtime: Runtime) -> str | None:
    """Does not need init. Behaviour 36: None if there is none."""
    return runtime.settings.soc if runtime.chip else None


@call("acl.get_version", "", several(3), "")
def get_version(_runtime: Runtime) -> tuple[int, int, int]:
    """Of the interface, not of CANN."""
    return 1, 14, 0


@call("acl.get_cann_version", "i", pair(dict), "", since=NEW)
def get_cann_version(runtime: Runtime, package: int) -> dict[str, int | str]:
    if package:
        raise Failed(100000, f"no package {package}")
    numbers = (*version_tuple(runtime.settings.version), 0, 0, 0, 0)[:4]
    names = ("major_version", "minor_version", "release_version", "patch_version")
    return {"version": runtime.settings.version, **dict(zip(names, numbers, strict=True))}


@call("acl.get_recent_err_msg", "", bare(nothing), "")
def get_recent_err_msg(runtime: Runtime) -> str | None:
    return runtime.last_error()


@call("acl.data_type_size", "i", bare(), "")
def data_type_size(_runtime: Runtime, data_type: int) -> int:
    return SIZES.get(data_type, 0)


def _require_config(config: str) -> None:
    try:
        text = Path(config).read_text(encoding="utf-8")
    except OSError as error:
        raise Failed(100003, f"{config}: {error.strerror}") from error
    try:
        json.loads(text)
    except ValueError as error:
        raise Failed(100006, f"{config} is no JSON") from error


def _require_initialised(runtime: Runtime) -> None:
    if not runtime.initialised:
        raise Failed(100037 if runtime.finalised else 100001, "there is nothing to finalise")
