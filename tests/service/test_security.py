"""Who gets in, from where, and what every answer carries."""

from __future__ import annotations

import hmac
import logging
from typing import Any

import httpx
import pytest

from rankwise.errors import UsageError
from rankwise.service.app import create_app
from rankwise.service.client import Client
from rankwise.service.security import HEADERS, Sessions
from rankwise.service.settings import Settings

TOKEN = "correct-horse-battery-staple"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "lab.example"])
def test_beyond_loopback_a_token_is_needed(host: str) -> None:
    with pytest.raises(UsageError, match="token"):
        create_app(Settings(host=host))
    create_app(Settings(host=host, token=TOKEN))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.0.1"])
def test_loopback_needs_none(host: str) -> None:
    create_app(Settings(host=host))


@pytest.mark.parametrize("token", ["short", "with\nnewline-and-more", "nön-ascii-token-längst"])
def test_weak_tokens(token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        Settings(token=token).check()


def test_settings_do_not_show_their_token() -> None:
    assert TOKEN not in repr(Settings(token=TOKEN))


def test_tokens_are_compared_as_digests_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is sent, both sides have one length and `compare_digest` sees them."""
    seen: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def watched(a: Any, b: Any) -> bool:
        seen.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    sessions = Sessions(TOKEN)
    for token in ("", "x", TOKEN[:-1], TOKEN + "x", TOKEN):
        assert sessions.right_token(token) is (token == TOKEN)
    assert seen == [(32, 32)] * 5


def test_cookies_end_and_cannot_be_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(TOKEN)
    cookie = sessions.new_cookie()
    assert sessions.right_cookie(cookie)
    end, _, signature = cookie.partition(".")
    for wrong in (
        "",
        ".",
        f"{int(end) + 9}.{signature}",
        cookie[:-1],
        Sessions(TOKEN).new_cookie(),
    ):
        assert not sessions.right_cookie(wrong)
    monkeypatch.setattr("rankwise.service.security.time.time", lambda: int(end) + 1.0)
    assert not sessions.right_cookie(cookie)


@pytest.fixture
def guarded(start: Any) -> Any:
    return start(token=TOKEN)


def test_header_cookie_and_neither(guarded: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rankwise.service")
    assert guarded.http.get("/devices").status_code == 401
    for wrong in ("Bearer x", "Bearer wrong-token-of-some-length", f"Basic {TOKEN}", TOKEN):
        answer = guarded.http.get("/devices", headers={"authorization": wrong})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    right = {"authorization": f"Bearer {TOKEN}"}
    assert guarded.http.get("/devices", headers=right).status_code == 200
    assert httpx.get(f"{guarded.url}/openapi.json").status_code == 401
    assert httpx.get(f"{guarded.url}/").status_code == 200, "the page, which asks for the token"

    assert guarded.post("/session", token="wrong").status_code == 401
    login = guarded.post("/session", token=TOKEN)
    cookie = login.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert guarded.http.get("/devices").status_code == 200
    assert guarded.http.get("/session").json()["admitted"]
    guarded.http.delete("/session")
    assert guarded.http.get("/devices").status_code == 401

    guarded.http.get(f"/tables?layer={TOKEN}", headers=right)
    assert "GET /api/v1/tables" in caplog.text
    assert TOKEN not in caplog.text
    with Client(guarded.url, TOKEN) as client:
        assert client.networks()
    with Client(guarded.url, "wrong") as client, pytest.raises(UsageError, match="token"):
        client.networks()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_change_nothing(service: Any, headers: dict[str, str]) -> None:
    answer = service.http.post("/devices", json={}, headers=headers)
    assert answer.status_code == 403
    assert service.http.get("/devices", headers=headers).status_code == 200


def test_forms_of_other_sites_are_no_requests(service: Any) -> None:
    """What a form can send without asking first is not what the API takes."""
    answer = service.http.post("/devices", content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    answer = service.http.post("/networks", content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 422


def test_foreign_names_get_nothing(service: Any) -> None:
    answer = service.http.get("/devices", headers={"host": "evil.example"})
    assert answer.status_code == 421


def test_every_answer_carries_the_headers(service: Any) -> None:
    for path in ("/", "/static/app.js", "/openapi.json", "/api/v1/session", "/nosuch"):
        answer = httpx.get(service.url + path, timeout=60)
        for name in HEADERS:
            assert name in answer.headers, (path, name)
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_the_page_needs_nothing_from_elsewhere(service: Any) -> None:
    page = httpx.get(service.url, timeout=60).text
    assert "http:" not in page
    assert "https:" not in page
    assert "<script>" not in page
    assert " style=" not in page
    assert " onclick" not in page


def test_large_bodies_are_refused_unread(service: Any) -> None:
    answer = service.http.post("/devices", content=b" " * (5 << 20))
    assert answer.status_code == 413


def test_scripts_are_kept_until_they_change(service: Any) -> None:
    """Nothing else is: it may be somebody's."""
    root = httpx.Client(base_url=service.url)
    first = root.get("/static/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = root.get("/static/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert root.get("/api/v1/networks").headers["cache-control"] == "no-store"
    root.close()
