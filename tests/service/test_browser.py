"""The whole story in a real browser, on the real service, with a real network and device.

Screenshots are written for a person to look at: into `RANKWISE_SCREENSHOTS`, else into the
test's folder.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from rankwise import documents

WAIT_S = 300
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
DRIVER = shutil.which("chromedriver")


class Browser:
    """Chromium by the elements a person would use."""

    def __init__(self, folder: Path, shots: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
            options.add_argument(f"--{word}")
        options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.folder, self.shots = folder, shots

    def look(self, width: int, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def shoot(self, name: str) -> None:
        """The whole page. It may not be wider than the screen."""
        script = (
            "const e = document.documentElement; return [innerWidth, e.scrollWidth, e.scrollHeight]"
        )
        self.driver.execute_script("scrollTo(0, 0)")
        inner, width, height = self.driver.execute_script(script)
        assert width <= inner, f"{name}: the page is {width} wide on a screen of {inner}"
        clip = {"x": 0, "y": 0, "width": inner, "height": min(height, 8000), "scale": 1}
        taken = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        (self.shots / f"{name}.png").write_bytes(base64.b64decode(taken["data"]))

    def one(self, css: str) -> Any:
        return self.until(lambda: self.driver.find_elements("css selector", css))[0]

    def until(self, look: Callable[[], Any]) -> Any:
        from selenium.common.exceptions import (
            ElementNotInteractableException,
            StaleElementReferenceException,
        )

        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            try:
                if found := look():
                    return found
            except (StaleElementReferenceException, ElementNotInteractableException):
                pass  # the page has drawn it anew, before or while it was pressed
            time.sleep(0.1)
        self.shoot("too-late")
        raise AssertionError("it did not come: see too-late.png")

    def click(self, css: str) -> None:
        self.press(css, None)

    def press(self, css: str, key: str | None) -> None:
        """By mouse, or (with a key or a text) by keyboard."""

        def act() -> bool:
            element = self.one(css)
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
            element.click() if key is None else element.send_keys(key)
            return True

        self.until(act)

    def job(self, kind: str, state: str) -> Any:
        return self.one(f'#job-list [data-kind="{kind}"][data-state="{state}"]')

    def file(self, pattern: str) -> Path:
        found: list[Path] = self.until(lambda: list(self.folder.glob(pattern)))
        return found[0]


@pytest.fixture
def browser(tmp_path: Path, need: Any) -> Iterator[Browser]:
    if CHROMIUM is None or DRIVER is None:
        need("browser", "no chromium and chromedriver on this machine")
    shots = Path(os.environ.get("RANKWISE_SCREENSHOTS", tmp_path / "shots"))
    shots.mkdir(parents=True, exist_ok=True)
    folder = tmp_path / "downloads"
    folder.mkdir()
    one = Browser(folder, shots)
    yield one
    one.driver.quit()


@pytest.fixture(scope="session")
def resnet(need: Any) -> Path:
    """ResNet-50-thin, if it was fetched (`examples/assets.py open-nsfw.onnx`) or can be."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    try:
        from assets import AssetError, fetch
    finally:
        sys.path.pop(0)
    try:
        return Path(fetch("open-nsfw.onnx"))
    except AssetError as error:
        need("assets", str(error))
        raise


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_whole_story(browser: Browser, start: Any, resnet: Path) -> None:
    service = start()
    browser.look(1280, dark=False)
    browser.driver.get(service.url)
    upload(browser, resnet)
    profile(browser)
    look_at_the_table(browser)
    plan_from_the_front(browser)
    report = download(browser)
    for width in (1280, 400):
        for dark in (False, True):
            browser.look(width, dark)
            browser.shoot(f"2-page-{width}-{'dark' if dark else 'light'}")
    quiet(browser)
    open_offline(browser, report)
    quiet(browser)


def upload(browser: Browser, network: Path) -> None:
    """The device has to be tried first; the network is uploaded meanwhile."""
    browser.click("#networks details summary")
    browser.one('#upload-network input[name="file"]').send_keys(str(network))
    browser.click("#upload-network button")
    browser.until(lambda: "open-nsfw" in browser.one("#network option:checked").text)
    assert "54 layers" in browser.one("#network-facts").text
    browser.click('#device-list input[value="onnxruntime-cpu"]')
    assert "PASS" in browser.driver.execute_script(
        "return getComputedStyle(document.querySelector('.pass'), '::before').content"
    )


def profile(browser: Browser) -> None:
    """A short one: a few seconds of measuring are enough to see everything."""
    from selenium.webdriver.common.keys import Keys

    browser.press('#profile-form [name="rank_quantum"]', "64")
    browser.press('#profile-form [name="max_time_s"]', "20")
    browser.press("#profile-form button", Keys.ENTER)
    browser.until(lambda: " of " in browser.one("#profile-job .job p").text)
    browser.shoot("1-profile-runs")
    browser.job("profile", "done")


def look_at_the_table(browser: Browser) -> None:
    """The heat map, and a layer's latency over rank, by keyboard."""
    from selenium.webdriver.common.keys import Keys

    script = "return [...document.querySelectorAll('#heat-map td.cell')].map(c => c.textContent)"
    cells = browser.until(lambda: browser.driver.execute_script(script))
    assert all(cells), "every cell can be read without colour"
    name = browser.one("#heat-map button.layer").text
    browser.press("#heat-map button.layer", Keys.ENTER)
    browser.until(lambda: f" {name}, " in browser.one("#staircase:has(svg) figcaption").text)
    stays_chosen(browser)


def plan_from_the_front(browser: Browser) -> None:
    """Choosing a point of the front gives the plan."""
    from selenium.webdriver.common.keys import Keys

    browser.driver.execute_script("document.getElementById('refine').checked = false")
    browser.click("#front-form button")
    browser.job("front", "done")
    browser.press('#front-picture [role="button"]:last-of-type', Keys.ENTER)
    browser.job("plan", "done")
    browser.until(lambda: browser.driver.find_elements("css selector", "#plan-picture li.replaced"))


def download(browser: Browser) -> Path:
    """The plan, the compressed network and the report, whose file is returned."""
    browser.click('#plan-actions a[download="plan.json"]')
    plan = documents.Plan.model_validate_json(browser.file("plan.json").read_text())
    assert any(layer.decomposition.kind != "original" for layer in plan.layers)
    browser.click("#plan-actions button:first-of-type")
    browser.job("apply", "done")
    browser.click('#plan-actions a[download^="compressed"]')
    onnx.checker.check_model(str(browser.file("compressed*.onnx")))
    browser.click('#plan-actions a[download="report.html"]')
    return browser.file("report.html")


def open_offline(browser: Browser, report: Path) -> None:
    """The report opens from a file, with the network cut off."""
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    browser.driver.get(report.as_uri())
    assert browser.one("ol.network li.replaced")
    for width in (1280, 400):
        browser.look(width, dark=False)
        browser.shoot(f"3-report-{width}")


def stays_chosen(browser: Browser) -> None:
    """The table that a running profile draws anew takes neither layer nor focus from the user."""
    again = """
        const done = arguments[arguments.length - 1];
        const layers = () => [...document.querySelectorAll("#heat-map button.layer")];
        const told = () => document.querySelector("#staircase figcaption").textContent;
        const wait = () => new Promise((resolve) => setTimeout(resolve, 100));
        (async () => {
          const { loadTable } = await import("/static/results.js");
          const before = told();
          const spec = layers().at(-1).dataset.spec; // the table may still grow below it
          layers().at(-1).focus();
          layers().at(-1).click();
          while (told() === before) await wait();
          const asked = told();
          layers()[0].closest("tr").remove(); // as if it had not been measured yet
          await loadTable();
          done([layers().length, document.activeElement.dataset.spec === spec, told() === asked]);
        })();
    """
    browser.driver.set_script_timeout(120)
    count, focused, same = browser.driver.execute_async_script(again)
    assert count > 1
    assert focused
    assert same


def quiet(browser: Browser) -> None:
    """No error and no violation of the security policy in the browser's log."""
    loud = [e for e in browser.driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
    assert not loud, json.dumps(loud)


@pytest.mark.slow
def test_the_login(browser: Browser, start: Any) -> None:
    token = "correct-horse-battery-staple"
    service = start(token=token)
    browser.look(400, dark=True)
    browser.driver.get(service.url)
    browser.press('#login-form [name="token"]', "wrong\n")
    browser.until(lambda: "not the token" in browser.one("#say").text)
    browser.one('#login-form [name="token"]').clear()
    browser.press('#login-form [name="token"]', token + "\n")
    browser.until(lambda: browser.one("#main").is_displayed())
    assert token not in browser.driver.page_source
    assert not browser.driver.execute_script("return document.cookie"), "scripts cannot read it"
    browser.click("#logout")
    browser.until(lambda: browser.one("#login").is_displayed())
