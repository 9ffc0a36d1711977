"""The page in a real browser: the whole story with a real network and device, and every view.

Pictures of every view are written for a person to look at where `RANKWISE_SCREENSHOTS` names a
folder. How fast the page is: benchmarks/page_speed.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from selenium.webdriver.common.keys import Keys

import rankwise as rw
from rankwise import documents
from rankwise.service.app import STATIC

from .browser_driver import Browser, opened
from .conftest import FAKE, Running, small_model, zipped_pictures

SCRIPT_BYTES = 300_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all tests here."""
    running = Running(tmp_path_factory.mktemp("page"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory, need: Any) -> Iterator[Browser]:
    """One browser for all tests here."""
    with opened(tmp_path_factory.mktemp("downloads"), need) as browser:
        yield browser


@pytest.fixture
def browser(driven: Browser, served: Running) -> Browser:
    """The browser on the page's overview."""
    driven.look(1280, dark=False)
    driven.driver.get(served.url)
    driven.one("#main h1")
    return driven


@pytest.fixture(scope="module")
def filled(served: Running) -> dict[str, str]:
    """A small network measured on two devices, with a front, two plans and a verification: its
    id, a plan's key, and the front's job."""
    network = served.upload("/networks", small_model().SerializeToString(), name="small.onnx")
    pictures = served.upload("/calibrations", zipped_pictures(), name="pictures.zip")
    ids = {"network": network.json()["id"]}
    for backend in (FAKE, "fake:step=32"):
        served.done(served.post("/profiles", **ids, backend=backend))
    asked = {"backend": FAKE, "calibration": pictures.json()["id"], "preprocess": "unit"}
    front = served.done(served.post("/fronts", **ids, **asked, max_errors=[0.002, 0.01, 0.1]))
    job = served.done(served.post("/plans", **ids, **asked, max_error=0.1, trials=2))
    plan = job["result"]["plan"]
    add_what_would_take_long(served, plan)
    return {**ids, "plan": plan, "front": front["id"]}


def add_what_would_take_long(served: Running, plan: str) -> None:
    """Another plan, which keeps a layer that this one replaces, and a verification."""
    document = served.http.get(f"/plans/{plan}").json()
    one = next(layer for layer in document["layers"] if layer["decomposition"]["ranks"])
    one["decomposition"] = {"kind": "original", "ranks": [], "groups": 1}
    assert served.post("/plans/documents", **document).status_code == 201
    speedup = {"speedup": 1.5, "speedup_low": 1.4, "speedup_high": 1.6, "predicted_speedup": 1.6}
    found = documents.Verification(
        latency_s=1e-4,
        original_latency_s=1.5e-4,
        fidelity={"relative_error": 0.05},
        device=document["device"],
        at="2026-01-01T00:00:00Z",
        **speedup,
    )
    store = served.app.state.context.store
    store.plans.add_verification(plan, found.model_dump(mode="json"))


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
def test_the_whole_story(browser: Browser, resnet: Path) -> None:
    measure(browser, resnet)
    look_at_the_graph(browser)
    look_at_the_table(browser)
    plan_from_the_front(browser)
    report = download(browser)
    browser.assert_quiet()
    open_offline(browser, report)
    browser.assert_quiet()


def measure(browser: Browser, network: Path) -> None:
    """From the empty overview to a profile: a few seconds of measuring show everything."""
    browser.until(lambda: "Begin with a network" in browser.one(".next h2").text)
    browser.shoot("empty-1280-light")
    browser.click(".next a")
    browser.click("#upload-network-part summary")
    browser.one('#upload-network input[name="file"]').send_keys(str(network))
    browser.click("#upload-network button")
    browser.until(lambda: "open-nsfw" in browser.one("#network option:checked").text)
    assert "54 layers" in browser.one("#network-facts").text
    browser.click('#device-list input[value="onnxruntime-cpu"]')
    assert "PASS" in browser.driver.execute_script(
        "return getComputedStyle(document.querySelector('.pass'), '::before').content"
    )
    browser.press('#profile-form [name="rank_quantum"]', "64")
    browser.press('#profile-form [name="max_time_s"]', "8")
    browser.press("#profile-form button", Keys.ENTER)
    browser.until(lambda: " of " in browser.one(".job p").text)
    browser.shoot("running-1280-light")
    job_is_done(browser, "profile")
    assert "FASTER" in browser.one(".log").text or "decided" in browser.one(".log").text


def job_is_done(browser: Browser, kind: str) -> None:
    """Wait for the job whose view is open, and go to what it has made."""
    browser.one(f'.job[data-kind="{kind}"][data-state="done"]')
    browser.click(".job a.button")


def look_at_the_graph(browser: Browser) -> None:
    """Every layer is in the picture, and by keyboard alone its latency over rank can be seen."""
    assert len(browser.until(lambda: browser.texts(".node title"))) == 54
    assert len(browser.texts(".join")) == 16, "each residual block ends in an addition"
    browser.press('.node[tabindex="0"]', Keys.ARROW_DOWN)
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    browser.one("aside .bar h2")
    assert "layer=" in browser.driver.current_url
    measured = browser.one('.node:not(.unmeasured)[class*="time"]').get_attribute("data-layer")
    browser.press(f'.node[data-layer="{measured}"]', Keys.ENTER)
    browser.one("aside canvas")
    assert browser.texts("aside .verdict")


def look_at_the_table(browser: Browser) -> None:
    """Sorted by a heading, searched, filtered; every cell says in words what its colour says."""
    browser.click('.tabs a[href*="table"]')
    browser.click('.rows th[data-key="speedup"] button')
    speedups = [float(text[:-1]) for text in browser.texts(".rows tr td:nth-child(4)") if text]
    assert speedups == sorted(speedups, reverse=True)
    kind = browser.texts(".rows tr td:nth-child(3)")[0].split()[0]
    browser.press("#find", kind)
    browser.until(
        lambda: all(t.startswith(kind) for t in browser.texts(".rows tr td:nth-child(3)"))
    )
    assert f"find={kind}" in browser.driver.current_url
    browser.driver.refresh()
    browser.until(lambda: browser.one("#find").get_attribute("value") == kind)
    assert all(browser.texts(".rows .verdict"))


def plan_from_the_front(browser: Browser) -> None:
    """The slider walks along the front, and its point gives a plan."""
    browser.click('.tabs a[href*="front"]')
    browser.click("#front-form button")
    job_is_done(browser, "front")
    assert "Point" in browser.one("#at-point h2").text
    browser.press("#point", Keys.HOME)
    browser.until(lambda: browser.one("#at-point h2").text == "The original")
    browser.press("#point", Keys.END)
    browser.until(lambda: "Point" in browser.one("#at-point h2").text)
    browser.click("#refine")
    browser.press("#make-plan", Keys.ENTER)
    job_is_done(browser, "plan")
    browser.until(lambda: any(t.startswith("\u25bc") for t in browser.texts(".rows td")))


def download(browser: Browser) -> Path:
    """The plan, the compressed network and the report, whose file is returned."""
    at_the_plan = browser.driver.current_url
    browser.click('#plan-actions a[download="plan.json"]')
    plan = documents.Plan.model_validate_json(browser.file("plan.json").read_text())
    assert any(layer.decomposition.kind != "original" for layer in plan.layers)
    browser.click("#plan-actions button:nth-of-type(2)")
    job_is_done(browser, "apply")
    assert browser.driver.current_url == at_the_plan
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
    assert browser.one("body h1")
    browser.shoot("report-1280-light")
    online = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", online)


def addresses(filled: dict[str, str]) -> dict[str, str]:
    """Every view's address by its name."""
    network = f"#/networks/{filled['network']}"
    return {
        "overview": "#/",
        "measure": f"#/measure?network={filled['network']}",
        "graph": network,
        "layer": f"{network}/graph?layer=body&by=saving",
        "table": f"{network}/table",
        "front": f"{network}/front?front={filled['front']}",
        "plans": f"{network}/plans",
        "plan": f"#/plans/{filled['plan']}",
        "jobs": "#/jobs",
        "job": f"#/jobs/{filled['front']}",
    }


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_view_is_for_everybody(browser: Browser, filled: dict[str, str], dark: bool) -> None:
    """axe-core finds nothing to mend, and nothing has to be scrolled sideways on a telephone."""
    theme = "dark" if dark else "light"
    found = {}
    for name, address in addresses(filled).items():
        browser.look(1280, dark)
        browser.open(address)
        found[name] = browser.violations()
        browser.shoot(f"{name}-1280-{theme}")
        browser.look(400, dark)
        browser.shoot(f"{name}-400-{theme}")
    assert not {name: some for name, some in found.items() if some}
    browser.assert_quiet()


@pytest.mark.slow
def test_a_front_of_two_dtypes(browser: Browser, served: Running, tmp_path: Path) -> None:
    """Each dtype has its mark, and a point says which one its plan is in."""
    file = tmp_path / "small.onnx"
    file.write_bytes(small_model().SerializeToString())
    rw.profile(str(file), backend=FAKE, db=served.db)
    front = rw.pareto(str(file), backend=FAKE, points=3, db=served.db)
    front.points[-1].dtype = "int8"
    key = served.app.state.context.store.plans.put(front.model_dump(mode="json"))
    known = served.http.get("/networks").json()["items"]
    [network] = [one["id"] for one in known if one["sha256"] == front.model.sha256]
    browser.open(f"#/networks/{network}/front?front={key}")
    browser.until(lambda: [t.strip() for t in browser.texts(".key li")] == ["float32", "int8"])
    assert browser.one("#at-point h2").text.endswith(" in int8")
    browser.shoot("front-of-two-dtypes-1280-light")
    browser.assert_quiet()


@pytest.mark.slow
def test_two_devices_side_by_side(browser: Browser, filled: dict[str, str]) -> None:
    """The same candidate on both, and what one gains over the other; a link shows the same."""
    browser.open(f"#/networks/{filled['network']}/table")
    browser.one("#beside")
    browser.driver.execute_script(
        "const one = document.getElementById('beside'); one.selectedIndex = 1;"
        "one.dispatchEvent(new Event('change'))"
    )
    browser.one('.rows th[data-key="ratio"]')
    both = [text for text in browser.texts(".rows tr td:last-child") if text]
    assert both
    linked = browser.driver.current_url
    assert "beside=" in linked
    browser.driver.get("about:blank")
    browser.driver.get(linked)
    browser.one('.rows th[data-key="ratio"]')
    assert [text for text in browser.texts(".rows tr td:last-child") if text] == both
    browser.shoot("beside-1280-light")


@pytest.mark.slow
def test_the_theme_can_be_chosen(browser: Browser) -> None:
    """Against the system's, and it stays."""
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = browser.driver.execute_script(ground)
    browser.press("#theme", "dark")
    assert browser.driver.execute_script(ground) != light
    browser.driver.refresh()
    browser.one("#main h1")
    assert browser.driver.execute_script(ground) != light
    browser.press("#theme", "light")
    assert browser.driver.execute_script(ground) == light
    browser.driver.execute_script("localStorage.clear()")


def test_scripts_are_few() -> None:
    """All scripts of the page together, though no view loads them all."""
    scripts = {path: path.stat().st_size for path in STATIC.rglob("*.js")}
    assert sum(scripts.values()) < SCRIPT_BYTES, scripts
    for folder in (STATIC / "vendor").iterdir():
        assert not folder.is_dir() or (folder / "LICENSE").exists()


@pytest.mark.slow
def test_the_login(browser: Browser, start: Any) -> None:
    token = "correct-horse-battery-staple"
    service = start(token=token)
    browser.look(400, dark=True)
    browser.driver.get(service.url)
    browser.one('#login-form [name="token"]')
    assert browser.violations() == []
    browser.shoot("login-400-dark")
    browser.press('#login-form [name="token"]', "wrong\n")
    browser.until(lambda: "not the token" in browser.one("#say").text)
    browser.one('#login-form [name="token"]').clear()
    browser.press('#login-form [name="token"]', token + "\n")
    browser.until(lambda: "Which layers" in browser.one("#main h1").text)
    assert token not in browser.driver.page_source
    assert not browser.driver.execute_script("return document.cookie"), "scripts cannot read it"
    browser.click("#logout")
    browser.one("#login-form")
