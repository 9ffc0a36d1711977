"""Which physical board measures. Boards of one kind share a speedup table, but they differ by per
cents: sessions say which of them they are of. An id is a hash, so that no serial number is kept."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..records import content_key
from .base import Backend, NamesBoard

DIGITS = 16
NUMBERS = (
    *("proc/device-tree/serial-number", "etc/machine-id", "var/lib/dbus/machine-id"),
    "sys/class/dmi/id/product_uuid",
)
"""Files below the root that tell machines apart, in the order in which they are asked. What only
root can read comes last: a board has the same id for everybody. Small boards that were all written
from one image share its machine-id, but not the serial number of their device tree."""
NO_NUMBER = re.compile(r"uninitialized|[0-]*|[f-]*|to be filled.*|default string", re.IGNORECASE)
"""What firmware says that was never given a number."""


def board_of(backend: Backend) -> str | None:
    """Return the id of the board that a backend measures on; None where nobody can say."""
    return backend.board() if isinstance(backend, NamesBoard) else None


def board_id(*parts: str) -> str:
    """Return the id of what these texts name together."""
    return content_key(["board", *parts])[:DIGITS]


def host_board(root: Path = Path("/")) -> str | None:
    """Return the id of this machine's board; None where it has no number that can be read."""
    number = next(_numbers(root), None)
    return None if number is None else board_id("host", number)


def place_on_host(kind: str, index: int | str) -> str | None:
    """Return the id of a device without a number of its own: its place in this machine."""
    host = host_board()
    return None if host is None else board_id(host, kind, str(index))


def _numbers(root: Path) -> Iterator[str]:
    for name in NUMBERS:
        with suppress(OSError, UnicodeDecodeError):
            number = (root / name).read_text(encoding="utf-8").strip("\0 \n").lower()
            if not NO_NUMBER.fullmatch(number):
                yield number
    yield from _apple_number()


def _apple_number() -> Iterator[str]:
    if platform.system() != "Darwin":
        return
    command = ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        yield from re.findall(r'"IOPlatformUUID" = "([^"]+)"', done.stdout)
