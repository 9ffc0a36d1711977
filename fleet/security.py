"""Who may join: certificates, or this machine alone.

Dask runs what its scheduler sends, so whoever reaches the scheduler's port owns its workers.
Without certificates only loopback addresses are taken, as a service without a token answers nobody
else.
"""

from __future__ import annotations

import ipaddress
import os
from typing import Any
from urllib.parse import urlsplit

from ..errors import UsageError

VARIABLES = {
    "ca_file": "RANKWISE_TLS_CA",
    "cert": "RANKWISE_TLS_CERT",
    "key": "RANKWISE_TLS_KEY",
}
"""Files in PEM format: the authority that signed everybody's certificate, and our own."""


def security_for(address: str) -> Any:
    """A `distributed.Security` for talking to a scheduler at that address, from the environment or
    from Dask's own settings. Raises `UsageError` where the address needs one and there is none."""
    try:
        from distributed import Security
    except ModuleNotFoundError as error:
        needed = f"a fleet needs {error.name}: pip install 'rankwise[fleet]'"
        raise UsageError(needed) from None
    given = {name: os.environ.get(variable) for name, variable in VARIABLES.items()}
    if any(given.values()) and not all(given.values()):
        raise UsageError(f"set all of {', '.join(VARIABLES.values())}, or none")
    roles: dict[str, Any] = {}
    for role in ("client", "worker", "scheduler") if given["ca_file"] else ():
        roles |= {f"tls_{role}_cert": given["cert"], f"tls_{role}_key": given["key"]}
    security = Security(require_encryption=True, tls_ca_file=given["ca_file"], **roles)
    if not security.tls_ca_file:
        require_loopback(address)
        return Security(require_encryption=False)
    return security


def require_loopback(address: str) -> None:
    """Raise `UsageError` for an address that other machines can reach without a certificate."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.scheme == "inproc" or is_loopback(parts.hostname or ""):
        return
    raise UsageError(
        f"{address} can be reached from other machines, and Dask runs what they send: set "
        f"{', '.join(VARIABLES.values())} and write tls://HOST:PORT"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
