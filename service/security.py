"""What every request passes: who asks, from where, how much; and what every answer carries.

Plain ASGI, because bodies are streamed. Tokens are compared as digests in constant time. A
request that changes something has to come from this page or from a program: a browser that
sends it for another site says so in `Origin` or `Sec-Fetch-Site`. Without a token the
`Host` has to be a loopback name, so that a foreign name that resolves to this machine (DNS
rebinding) gets nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from ..fleet.security import is_loopback
from .settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("rankwise.service")

COOKIE = "rankwise_session"
SESSION_S = 12 * 3600
BODY_BYTES = 4 << 20
"""The largest body of a request that is no upload."""
UPLOADS = ("/api/v1/networks", "/api/v1/calibrations")
SAFE = ("GET", "HEAD", "OPTIONS")

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Sessions:
    """Login cookies: an end time and a signature with a key that dies with the process."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()
        self._key = secrets.token_bytes(32)
        self.needed = bool(token)

    def right_token(self, token: str) -> bool:
        """Whether it is the token, in constant time: not even the length tells."""
        given = hashlib.sha256(token.encode()).digest()
        return hmac.compare_digest(given, self._digest)

    def new_cookie(self) -> str:
        end = str(int(time.time()) + SESSION_S)
        return f"{end}.{self._sign(end)}"

    def right_cookie(self, value: str) -> bool:
        end, _, signature = value.partition(".")
        right = hmac.compare_digest(signature.encode(), self._sign(end).encode())
        return right and end.isdecimal() and int(end) > time.time()

    def _sign(self, end: str) -> str:
        return hmac.new(self._key, end.encode(), hashlib.sha256).hexdigest()

    def admitted(self, headers: Mapping[str, str]) -> bool:
        """Whether a header or a cookie shows the token."""
        if not self.needed:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.right_token(token.strip())
        return self.right_cookie(_cookie(headers.get("cookie", "")))


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


class TooLarge(Exception):
    """The body went over its limit."""


class SecurityMiddleware:
    """The outermost layer of the application."""

    def __init__(self, app: App, settings: Settings, sessions: Sessions) -> None:
        self.app, self.settings, self.sessions = app, settings, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        call = _Call(scope, receive, send)
        problem = self._problem(scope, call.headers)
        if problem:
            await call.refuse(*problem)
            return
        call.limit = self._limit(scope)
        try:
            await self.app(scope, call.receive, call.send)
        except TooLarge:
            await call.refuse(413, f"the body has more than {call.limit} bytes")

    def _problem(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self.sessions.needed and not is_loopback(_host_name(host)):
            return 421, "this service answers to loopback names only"
        if scope["method"] not in SAFE and _foreign(headers, host):
            return 403, "requests that change something must not come from another site"
        if not self._open(scope) and not self.sessions.admitted(headers):
            return 401, "a token is needed: Authorization: Bearer TOKEN, or log in"
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "the Content-Length is no number"
        if int(length) > self._limit(scope):
            return 413, f"the body may have at most {self._limit(scope)} bytes"
        return None

    def _open(self, scope: Scope) -> bool:
        """What is shown to those who have not logged in: the page, and the login."""
        path = scope["path"]
        return path in ("/", "/favicon.ico", "/api/v1/session") or path.startswith("/static/")

    def _limit(self, scope: Scope) -> int:
        upload = scope["method"] == "POST" and scope["path"].rstrip("/") in UPLOADS
        return self.settings.limits.upload_bytes if upload else BODY_BYTES


class _Call:
    """One request on its way: counts its body, adds headers to its answer, logs it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.headers = {
            k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]
        }
        self.limit, self.received, self.started = 0, 0, False
        self.began = time.perf_counter()

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        if self.received > self.limit:
            raise TooLarge
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._log(message["status"])
            given = {name.lower() for name, _ in message["headers"]}
            extra = [
                (k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in given
            ]
            message = {**message, "headers": [*message["headers"], *extra]}
        await self._send(message)

    async def refuse(self, status: int, detail: str) -> None:
        """Answer at once. What is left of the body is not read: the connection closes."""
        if self.started:
            return
        body = json.dumps({"detail": detail}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _log(self, status: int) -> None:
        """No query, no header, no body: nothing of these may be a secret that is kept."""
        client = (self.scope.get("client") or ("-",))[0]
        path = "".join(c if c.isprintable() else "?" for c in self.scope["path"][:200])
        milliseconds = (time.perf_counter() - self.began) * 1e3
        log.info("%s %s %s %d %.0f ms", client, self.scope["method"], path, status, milliseconds)


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _foreign(headers: Mapping[str, str], host: str) -> bool:
    """Whether a browser says that another site made it send this."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")  # SCHEME://HOST:PORT, or `null`
    return origin is not None and origin.partition("://")[2] != host
