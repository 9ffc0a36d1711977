"""How fast is the page? A network of 400 layers, a table of 20,000 rows, in Chromium.

    python benchmarks/page_speed.py --loads 15 --out page.jsonl

A service is started in this process, with a network and a table that are made up: what is timed is
the page, not the measuring. It prints how many bytes of script all views load together, when
something is painted first, how long each view takes from the press of a link until it is painted,
and how many frames a second there are while the graph is moved and zoomed and the table is
scrolled. Chromium draws without a graphics card here. Beside what the clock says stands what the
page's own thread has worked, which other work on the machine does not change.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from rankwise import documents
from rankwise.jobs.artifacts import ArtifactStore, NetworkEntry
from rankwise.service.app import create_app
from rankwise.service.settings import Settings
from rankwise.service.tables import Query, Tables

LAYERS, CANDIDATES = 400, 50
SHA256 = "ab" * 32
NETWORK = f"#/networks/{SHA256}"
VIEWS = {
    "overview": "#/",
    "measure": "#/measure",
    "graph": f"{NETWORK}/graph",
    "layer": f"{NETWORK}/graph?layer=block7.conv2",
    "table": f"{NETWORK}/table",
    "front": f"{NETWORK}/front",
    "plans": f"{NETWORK}/plans",
    "jobs": "#/jobs",
}
FRAMES_MS = 3000


def spec(number: int) -> dict[str, Any]:
    """A convolution that differs from the others."""
    return {
        "op": "conv2d",
        "in_channels": 64 + number,
        "out_channels": 128,
        "kernel_size": [3, 3],
    }


def names() -> list[str]:
    """Blocks of four layers each."""
    return [f"block{number // 4}.conv{number % 4}" for number in range(LAYERS)]


def network() -> NetworkEntry:
    """Residual blocks: a way of three layers, another one of one, and an addition."""
    layers = [
        documents.Layer(
            name=name,
            op="conv2d",
            spec=spec(number),
            spec_key=f"spec{number}",
            count=1,
            macs=10**8,
            params=10**5,
            kinds=["svd"],
            reason="",
        ).model_dump(mode="json")
        for number, name in enumerate(names())
    ]
    model = {"source": "made-up", "sha256": SHA256, "input_shape": [1, 3, 224, 224]}
    document = {"kind": "rankwise.layers", "model": model, "layers": layers}
    return NetworkEntry(
        id=SHA256,
        name="made-up",
        format="onnx",
        architecture=None,
        file=None,
        bytes=0,
        added_at="2026-01-01",
        sha256=SHA256,
        input_shape=None,
        layers=document,
        graph=graph(),
    )


def graph() -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [{"name": "stem", "op": "Add", "layer": False}]
    edges = []
    for number in range(0, LAYERS, 4):
        start, first = len(nodes) - 1, len(nodes)
        nodes += [{"name": n, "op": "conv2d", "layer": True} for n in names()[number : number + 4]]
        nodes.append({"name": f"add{number}", "op": "Add", "layer": False})
        ways = [(start, first), (first, first + 1), (first + 1, first + 2), (first + 2, first + 4)]
        edges += [*ways, (start, first + 3), (first + 3, first + 4)]
    return {"nodes": nodes, "edges": edges}


def table() -> documents.Table:
    """Both devices have all candidates."""
    rows = [
        row(layer, name, candidate, threads)
        for threads in (1, 4)
        for layer, name in enumerate(names())
        for candidate in range(CANDIDATES // 2)
    ]
    return documents.Table(rows=rows, failures=[])


def row(layer: int, name: str, candidate: int, threads: int) -> documents.Row:
    speedup = 0.6 + (layer * 7 + candidate * 3) % 29 / 10
    original = 1e-4 * (1 + layer % 17)
    verdict = "FASTER" if speedup > 1.02 else "SLOWER"
    policy = {"phase": "inference", "batch": 1, "threads": threads, "context": "isolated"}
    return documents.Row(
        layer=name,
        layers=[name],
        op="conv2d",
        spec=spec(layer),
        spec_key=f"spec{layer}",
        count=1,
        decomposition=documents.Decomposition(kind="svd", ranks=(8 * (candidate + 1),)),
        device=documents.RowDevice(
            backend="onnxruntime-cpu", hardware_key="f" * 16, software_key="e" * 16
        ),
        policy=policy,
        latency_s=original / speedup,
        original_latency_s=original,
        saving_s=original - original / speedup,
        speedup=speedup,
        speedup_low=speedup * 0.98,
        speedup_high=speedup * 1.02,
        verdict=verdict,
        macs=10**7,
        original_macs=10**8,
        params=10**4,
        measured_at=f"2026-01-0{threads}T00:00:00Z",
        stale=False,
        measurement_id=f"{layer}-{candidate}-{threads}",
    )


class MadeUp(Tables):
    """The table, whatever is asked for."""

    def _make(self, _query: Any) -> documents.Table:
        return table()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The service's address, once it has its network and its table."""
    db = f"sqlite:///{folder}/page.db"
    ArtifactStore.beside(db).put(network())
    app = create_app(Settings(db=db))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    context = app.state.context
    context.tables = MadeUp(context.store, lambda: False)
    context.measured_networks = lambda: {SHA256}
    context.tables.by_columns(Query(SHA256))  # making it up is no part of what is timed
    try:
        while context.store.jobs.page(states=("queued", "running"), limit=1)[0]:
            time.sleep(0.2)  # the devices are being tried
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def chromium() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{word}")
    options.add_argument("--window-size=1280,900")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    try:
        yield driver
    finally:
        driver.quit()


PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SCRIPTS = """
return performance.getEntriesByType("resource").filter((one) => one.name.endsWith(".js"))
  .map((one) => [new URL(one.name).pathname, one.encodedBodySize])
"""
VIEW = """
const [address, done] = arguments;
performance.clearMeasures("view");
history.replaceState(null, "", "#/none"); // so that the address always changes
const start = performance.now();
location.hash = address;
const look = () => {
  if (!performance.getEntriesByName("view").length) return requestAnimationFrame(look);
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
};
look();
"""
FRAMES = """
const [css, kind, ms, done] = arguments;
const place = document.querySelector(css);
const nearer = document.querySelector('[aria-label="Larger"]');
const farther = document.querySelector('[aria-label="Smaller"]');
const gaps = [];
const start = performance.now();
let last = start;
const step = (now) => {
  gaps.push(now - last);
  last = now;
  if (kind === "zoom" && gaps.length % 20 === 0) (gaps.length % 40 ? farther : nearer).click();
  const room = place.scrollHeight - place.clientHeight;
  if (kind === "scroll") place.scrollTop = (place.scrollTop + 37) % room;
  if (now - start < ms) requestAnimationFrame(step);
  else done(gaps.slice(2));
};
requestAnimationFrame(step);
"""


class Worked:
    """What the page's main thread has worked, in milliseconds of its own."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})

    def read(self) -> float:
        metrics = self.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return 1000 * next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def first_paints(driver: Any, url: str, loads: int) -> list[float]:
    """Milliseconds from the start of loading."""
    found = []
    for _ in range(loads):
        driver.get("about:blank")
        driver.get(url)
        while (painted := driver.execute_script(PAINT)) is None:
            time.sleep(0.02)
        found.append(painted)
    return found


def view_times(driver: Any, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds from the press of a link until the view is painted: the first time, when the
    page has nothing in its memory, and later."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in VIEWS}
    worked = Worked(driver)
    for _ in range(rounds):
        for name, address in VIEWS.items():
            before = worked.read()
            passed = driver.execute_async_script(VIEW, address)
            found[name].append((passed, worked.read() - before))
            time.sleep(0.2)
    return {
        name: {
            "first": times[0][0],
            "median": statistics.median(passed for passed, _ in times[1:]),
            "first_worked": times[0][1],
            "median_worked": statistics.median(own for _, own in times[1:]),
        }
        for name, times in found.items()
    }


def frames(driver: Any, address: str, css: str, kind: str) -> dict[str, float]:
    """Frames a second, the longest time between two of them, and the work for one."""
    driver.execute_async_script(VIEW, address)
    time.sleep(1)
    worked = Worked(driver)
    before = worked.read()
    gaps = driver.execute_async_script(FRAMES, css, kind, FRAMES_MS)
    return {
        "worked_ms_a_frame": (worked.read() - before) / len(gaps),
        "frames_per_s": 1000 * len(gaps) / sum(gaps),
        "longest_ms": max(gaps),
        "percent_over_25_ms": 100 * sum(gap > 25 for gap in gaps) / len(gaps),
    }


def rounded(value: Any) -> Any:
    """With one decimal."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return round(value, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url, chromium() as driver:
        paints = first_paints(driver, url, asked.loads)
        views = view_times(driver, asked.rounds)
        scripts = dict(driver.execute_script(SCRIPTS))
        moved = {
            "graph scrolled": frames(driver, VIEWS["graph"], ".graph", "scroll"),
            "graph zoomed": frames(driver, VIEWS["graph"], ".graph", "zoom"),
            "table scrolled": frames(driver, VIEWS["table"], ".rows", "scroll"),
        }
    result = {
        "first_paint_ms": {"median": statistics.median(paints), "worst": max(paints)},
        "script_bytes": sum(scripts.values()),
        "views_ms": views,
        "frames": moved,
        "load": os.getloadavg()[0],
    }
    json.dump(rounded(result), sys.stdout, indent=2)
    print()
    if asked.out is not None:
        with asked.out.open("a") as file:
            file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
