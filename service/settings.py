"""How a service is to run, and what it refuses to start with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError
from ..fleet.security import is_loopback
from ..jobs.queue import FLEET, ONE_MACHINE, QueueLimits
from ..jobs.uploads import UploadLimits
from ..options.shared import DEFAULT_DB

TOKEN_VARIABLE = "RANKWISE_TOKEN"
SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """`token` empty: nobody is asked for one, which only loopback addresses allow. `max_waiting`
    and `kept`: see `QueueLimits`; None: what suits one machine, or a fleet."""

    db: str = DEFAULT_DB
    host: str = "127.0.0.1"
    port: int = 8765
    token: str = field(default="", repr=False)
    limits: UploadLimits = field(default_factory=UploadLimits)
    max_waiting: int | None = None
    kept: int | None = None
    max_listeners: int = 64
    cluster: str | None = None
    """Where jobs that need a device are done: the address of a Dask scheduler, or `local`; None:
    one after another in processes of the service."""

    @property
    def queue(self) -> QueueLimits:
        usual = ONE_MACHINE if self.cluster is None else FLEET
        return QueueLimits(self.max_waiting or usual.waiting, self.kept or usual.kept)

    def check(self) -> None:
        """Raises `UsageError`."""
        if self.token and len(self.token) < SHORTEST_TOKEN:
            raise UsageError(f"the token must have at least {SHORTEST_TOKEN} characters")
        if self.token and not (self.token.isascii() and self.token.isprintable()):
            raise UsageError("the token must be printable ASCII")
        if not is_loopback(self.host) and not self.token:
            raise UsageError(
                f"{self.host} can be reached from other machines, so a token is needed: put one "
                f"into {TOKEN_VARIABLE} or a file for --token-file, or leave --host out"
            )


def absolute_db(db: str) -> str:
    """The same store, named so that it is found from any working directory."""
    path = db.removeprefix("sqlite:///")
    return db if "://" in path else f"sqlite:///{Path(path).expanduser().absolute()}"


def read_token(file: Path | None) -> str:
    """The token of a file or the environment; the command line is what others see."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token file {file} cannot be read: {error}") from None
