"""Starts the service on its address."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress

import uvicorn

from ..errors import UsageError
from ..fleet.security import is_loopback
from .app import create_app
from .settings import Settings

GRACE_S = 3


def serve(settings: Settings) -> None:
    """Serve until it is interrupted. Raises `UsageError` if the settings are unsafe, or the address
    cannot be had."""
    app = create_app(settings)
    listener = _bound(settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log = logging.getLogger("rankwise.service")
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    log.info("rankwise serves on http://%s:%d", host, port)
    if not is_loopback(settings.host):
        log.warning("plain HTTP: put a proxy with TLS in front, or the token can be overheard")
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=32 << 10,
    )
    # uvicorn raises Ctrl-C again when it has shut down; here it is how a service ends
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()  # who comes before the application has started waits
    except (OSError, OverflowError) as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {settings.host} port {settings.port}: {error}; give another --port"
        ) from None
    return listener
