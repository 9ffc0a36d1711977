"""Chromium by the elements that a person would use, and axe-core, which knows what others need."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT_S = 300
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
DRIVER = shutil.which("chromedriver")
SHOTS = os.environ.get("RANKWISE_SCREENSHOTS")
"""Where pictures of the page go, for a person to look at; none are taken without it."""


class Browser:
    """One browser; `folder` is where its downloads go."""

    def __init__(self, folder: Path) -> None:
        from axe_core_python.base import AXE_SCRIPT
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
            options.add_argument(f"--{word}")
        options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.set_script_timeout(120)
        self.folder, self._axe = folder, AXE_SCRIPT

    def look(self, width: int, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def open(self, address: str) -> None:
        """Go to a view, and wait until it is there."""
        self.driver.execute_script("location.hash = arguments[0]", address)
        self.until(lambda: self.one("#main").get_attribute("data-address") == address)

    def shoot(self, name: str) -> None:
        """The whole page, which may not be wider than the screen."""
        script = (
            "const e = document.documentElement; return [innerWidth, e.scrollWidth, e.scrollHeight]"
        )
        inner, width, height = self.driver.execute_script(script)
        assert width <= inner, f"{name}: the page is {width} wide on a screen of {inner}"
        if SHOTS is None:
            return
        clip = {"x": 0, "y": 0, "width": inner, "height": min(height, 2400), "scale": 1}
        taken = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        (Path(SHOTS) / f"{name}.png").write_bytes(base64.b64decode(taken["data"]))

    def violations(self) -> list[str]:
        """What axe-core finds on the page as it is."""
        script = "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then(done)"
        if not self.driver.execute_script("return 'axe' in window"):
            self.driver.execute_script(self._axe)
        found = self.driver.execute_async_script(script)["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]

    def one(self, css: str) -> Any:
        return self.until(lambda: self.driver.find_elements("css selector", css))[0]

    def texts(self, css: str) -> list[str]:
        """The texts of all such elements, read at one moment."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        found: list[str] = self.driver.execute_script(script, css)
        return found

    def rows(self) -> list[list[str]]:
        """The cells' texts of a long table, as far as it is in sight."""
        script = (
            "const texts = (row) => [...row.cells].map((one) => one.textContent);"
            "const rows = [...document.querySelectorAll('.rows tbody tr:not([hidden])')];"
            "return rows.map(texts).filter((one) => one.length > 1)"
        )
        found: list[list[str]] = self.driver.execute_script(script)
        return found

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
            time.sleep(0.05)
        raise AssertionError(f"it did not come; the page says: {self.texts('#main')}")

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

    def file(self, pattern: str) -> Path:
        found: list[Path] = self.until(lambda: list(self.folder.glob(pattern)))
        return found[0]

    def assert_quiet(self) -> None:
        """No error and no violation of the security policy in the browser's log."""
        loud = [e for e in self.driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
        assert not loud, json.dumps(loud)


@contextmanager
def opened(folder: Path, need: Callable[[str, str], Any]) -> Iterator[Browser]:
    """A browser as long as the `with` lasts; the test is skipped where there is none."""
    if CHROMIUM is None or DRIVER is None:
        need("browser", "no chromium and chromedriver on this machine")
    one = Browser(folder)
    try:
        yield one
    finally:
        one.driver.quit()
