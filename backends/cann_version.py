"""Which CANN and which driver are installed: from pyACL where it says, else from its files."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

HOMES = ("/usr/local/Ascend/cann", "/usr/local/Ascend/ascend-toolkit/latest")
DRIVER = Path("/usr/local/Ascend/driver/version.info")
VERSION = re.compile(r"^[Vv]ersion=(\S+)", re.MULTILINE)
RUNNING = re.compile(r"^runtime_running_version=\[[^:\]]*:([^\]]+)\]", re.MULTILINE)


def cann_version(acl: Any) -> str:
    """Such as `8.0.0`; `unknown` if neither pyACL nor a file says."""
    with suppress(Exception):  # only newer versions have the call
        found, code = acl.get_cann_version(0)
        if code == 0 and found.get("version"):
            return str(found["version"])
    return next(filter(None, map(_in_home, _homes())), "unknown")


def driver_version() -> str:
    return _first(VERSION, DRIVER) or "unknown"


def _homes() -> list[Path]:
    named = (os.environ.get(name) for name in ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"))
    return [Path(home) for home in (*named, *HOMES) if home]


def _in_home(home: Path) -> str:
    files = [
        (RUNNING, home / "version.cfg"),
        *((VERSION, path) for path in sorted(home.glob("*-linux/ascend_toolkit_install.info"))),
        *((VERSION, path) for path in sorted(home.glob("share/info/*/version.info"))),
        (VERSION, home / "opp" / "version.info"),
    ]
    return next(filter(None, (_first(pattern, path) for pattern, path in files)), "")


def _first(pattern: re.Pattern[str], path: Path) -> str:
    with suppress(OSError):
        if found := pattern.search(path.read_text(encoding="utf-8", errors="replace")):
            return found.group(1)
    return ""
