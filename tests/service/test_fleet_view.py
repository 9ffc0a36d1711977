"""The page's view of a fleet, in a real browser: states, history, release, without reloading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from rankwise.db import Store
from rankwise.service import app

from .browser_driver import Browser, opened
from .conftest import Running, small_model
from .planted_fleet import BUSY, IDLE, LOST, OTHER, QUARANTINED, IdleCluster, plant

pytestmark = pytest.mark.slow
STATES = {
    BUSY: "busy",
    QUARANTINED: "quarantined",
    LOST: "lost",
    OTHER: "other_versions",
    IDLE: "idle",
}


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory, need: Any) -> Iterator[Browser]:
    """One browser for all tests here."""
    with opened(tmp_path_factory.mktemp("downloads"), need) as browser:
        yield browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose fleet has a device in each state, a job that runs, and a queue."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "open_cluster", lambda *_: IdleCluster())
        running = Running(tmp_path_factory.mktemp("fleet"), cluster="local")
    store = running.app.state.context.store
    plant(store)
    running.done(running.post("/devices"))
    network = running.upload("/networks", small_model().SerializeToString(), name="small.onnx")
    for quantum in (8, 16, 24):
        ask(running, network.json()["id"], quantum, f"id={BUSY}")
    ask(running, network.json()["id"], 32, f"id={BUSY}", state="failed", error="no memory left")
    ask(running, network.json()["id"], 64, f"id={BUSY}", state="done", result={})
    one = ask(running, network.json()["id"], 48, f"id={BUSY}")
    begin(store, one, BUSY)
    progress = {"done": 21, "total": 60, "text": "layer body", "left_s": 240}
    store.jobs.update(one, progress={**progress, "messages": [], "log": []})
    yield running
    running.stop()


def ask(running: Running, network: str, quantum: int, device: str, **ended: Any) -> str:
    """A job for a device; one that has ended there, where that is said."""
    asked = {"network": network, "rank_quantum": quantum, "device": device}
    uuid: str = running.post("/profiles", **asked).json()["id"]
    if ended:
        store = running.app.state.context.store
        begin(store, uuid, device.removeprefix("id="))
        assert store.jobs.update(uuid, **ended)
    return uuid


def begin(store: Store, uuid: str, device: str) -> None:
    attempt = store.jobs.begin_attempt(uuid, device)
    assert store.jobs.claim(uuid, attempt)


@pytest.fixture
def browser(driven: Browser, served: Running) -> Browser:
    """The browser on the fleet's view."""
    driven.look(1280, dark=False)
    driven.driver.get(f"{served.url}/#/fleet")
    driven.one("li.device")
    return driven


def shown(browser: Browser, device: str) -> str:
    return str(browser.one(f'[data-device="{device}"]').get_attribute("data-state"))


def test_each_device_says_how_it_is(browser: Browser) -> None:
    assert {name: shown(browser, name) for name in STATES} == STATES
    cards = {name: browser.one(f'[data-device="{name}"]').text for name in STATES}
    assert "profile: small.onnx" in cards[BUSY]
    assert "35 %" in cards[BUSY]
    assert "no progress" in cards[QUARANTINED]
    assert "rankwise 0.1.0 instead of" in cards[OTHER]
    assert "last seen" in cards[LOST]
    assert "Waiting (3), the oldest first" in browser.one("#fleet-queue h2").text
    assert browser.one("#fleet").get_attribute("aria-current") == "page"


def test_what_is_chosen_is_in_the_address(browser: Browser) -> None:
    browser.press("#fleet-find", "lab-b")
    browser.until(lambda: len(browser.texts("li.device")) == 4)
    assert "find=lab-b" in browser.driver.current_url
    browser.driver.refresh()
    browser.until(lambda: len(browser.texts("li.device")) == 4)
    assert browser.one("#fleet-find").get_attribute("value") == "lab-b"
    browser.open("#/fleet?state=lost")
    browser.until(lambda: len(browser.texts("li.device")) == 1)


def test_a_device_and_its_history(browser: Browser) -> None:
    """By keyboard, and by a link of its own."""
    browser.press(f'[data-does="open-{BUSY}"]', Keys.ENTER)
    browser.until(lambda: "board-01" in browser.one("h1").text)
    assert f"#/fleet/{BUSY}" in browser.driver.current_url
    rows = browser.texts("#device-history tbody tr")
    assert len(rows) == 3
    assert any("no memory left" in row for row in rows)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_fleet_is_for_everybody(browser: Browser, dark: bool) -> None:
    """axe-core finds nothing to mend, and nothing has to be scrolled sideways on a telephone."""
    theme = "dark" if dark else "light"
    found = {}
    for name, address in {"fleet": "#/fleet", "device": f"#/fleet/{BUSY}"}.items():
        browser.open(address)
        for width in (1280, 400):
            browser.look(width, dark)
            found[f"{name}-{width}"] = browser.violations()
            browser.shoot(f"{name}-{width}-{theme}")
    assert not {name: some for name, some in found.items() if some}
    browser.assert_quiet()


def test_it_is_live_and_a_device_can_be_released(browser: Browser, served: Running) -> None:
    """Nothing is reloaded, and who is at a card by keyboard stays there."""
    browser.driver.execute_script("window.stayed = true")
    browser.driver.execute_script("document.querySelector(arguments[0]).focus()", "li.device a")
    at = "return document.activeElement.dataset.does"
    before = browser.driver.execute_script(at)
    plant(served.app.state.context.store, idle=5)
    browser.one(f'[data-device="{int(IDLE, 16) + 4:012x}"]')
    assert browser.driver.execute_script(at) == before
    browser.press(f'[data-does="release-{QUARANTINED}"]', Keys.ENTER)
    browser.until(lambda: shown(browser, QUARANTINED) != "quarantined")
    assert browser.driver.execute_script("return window.stayed")


def test_without_a_fleet_one_sentence(driven: Browser, start: Any) -> None:
    service = start()
    driven.driver.get(f"{service.url}/#/fleet")
    driven.until(lambda: "--cluster local" in driven.one("main p").text)
    assert not driven.one("#fleet").is_displayed()
    assert driven.violations() == []
