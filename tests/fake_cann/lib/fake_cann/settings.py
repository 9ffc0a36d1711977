"""What steers the fake, read from the environment so that child processes are steered too;
and the two things that processes share: the report's lines and the counters."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

PREFIX = "FAKE_CANN_"
_READERS = {"str": str, "int": int, "float": float}
NO_CHIP = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """See README.md for what each means. A variable that is not set leaves the default."""

    faults: str = ""
    soc: str = "Ascend910B4"
    devices: int = 1
    memory_bytes: int = 0
    version: str = "8.0.0"
    om_name: str = "plain"
    atc_s: float = 0.0
    hang_s: float = 600.0
    host_wait: int = 1
    first_s: float = 0.002
    jitter: float = 0.0
    trace: int = 0
    report: str = ""
    state: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Raises `ValueError` for a variable that is no number where one is needed."""
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        for field in fields(cls):
            text = environ.get(PREFIX + field.name.upper())
            if text is not None:
                found[field.name] = _READERS[str(field.type)](text)
        return cls(**found)

    @property
    def is_new(self) -> bool:
        """CANN since 8.5 has calls and files that older ones lack."""
        return version_tuple(self.version) >= (8, 5)


def version_tuple(version: str) -> tuple[int, ...]:
    """The leading numbers: `8.0.RC3` -> (8, 0)."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def write_report(settings: Settings, event: str, **record: Any) -> None:
    """Append one line. A file that is gone (the test is over) is no error."""
    if not settings.report:
        return
    line = json.dumps({"event": event, "pid": os.getpid(), **record}) + "\n"
    with suppress(OSError):
        # no O_CREAT after the folder is gone; one write, so that lines do not mix
        handle = os.open(settings.report, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


def next_number(settings: Settings, name: str) -> int:
    """1, 2, 3 ...: counted over all processes that share the state folder."""
    if not settings.state:
        return 1
    path = Path(settings.state) / name
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        number = int(file.read() or 0) + 1
        file.seek(0)
        file.truncate()
        file.write(str(number))
    return number
