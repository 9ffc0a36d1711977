"""Make docs/images/page anew: every view, in both themes, 1280 and 400 points wide.

    python benchmarks/page_pictures.py docs/images/page

A small residual network is measured on two devices whose times are arithmetic (`fake`), a front is
worked out, two plans are made and one is verified: a minute. Look at what comes out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DEVICES = ("fake:step=16", "fake:step=32")
SIZE, WIDTHS = 32, (32, 32, 64, 64, 128, 128)
LAYER = "layer=node_conv2d_6"
COLOURS = 128


def network() -> bytes:
    """A residual network as an ONNX file; singular values fall off as trained weights' do."""
    import torch
    from torch import nn

    class Block(nn.Module):
        """Two convolutions of 3x3, and one of 1x1 beside them where channels change."""

        def __init__(self, inputs: int, width: int) -> None:
            super().__init__()
            step = 1 if inputs == width else 2
            self.conv1 = nn.Conv2d(inputs, width, 3, step, 1)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
            self.downsample = nn.Identity() if step == 1 else nn.Conv2d(inputs, width, 1, step)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.conv2(torch.relu(self.conv1(x))) + self.downsample(x))

    torch.manual_seed(0)
    pairs = list(pairwise(WIDTHS))
    module = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1), *(Block(*pair) for pair in pairs))
    module.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 10)])
    for weight in (one for one in module.parameters() if one.ndim > 1):
        u, s, v = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
        falling = s * torch.exp(-torch.arange(len(s)) / (len(s) / 6))
        weight.data = ((u * (falling * s.norm() / falling.norm())) @ v).view_as(weight)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "residual.onnx"
        example = torch.zeros(1, 3, SIZE, SIZE)
        torch.onnx.export(
            module.eval(), (example,), file, dynamo=True, external_data=False, verbose=False
        )
        return file.read_bytes()


def filled(service: Any) -> dict[str, str]:
    """The views' addresses, once everything that they show was worked out."""
    uploaded = service.upload("/networks", network(), name="residual.onnx").json()
    asked = {"network": uploaded["id"], "backend": DEVICES[0]}
    for backend in DEVICES:
        service.done(service.post("/profiles", network=uploaded["id"], backend=backend))
    front = service.done(service.post("/fronts", **asked, max_errors=[0.02, 0.05, 0.1, 0.2]))
    plans = [
        service.done(service.post("/plans", **asked, max_error=limit, refine=False))["result"]
        for limit in (0.05, 0.2)
    ]
    verified = plans[-1]["plan"]
    service.done(service.post("/verifications", plan=verified))
    place = f"#/networks/{uploaded['id']}"
    return {
        "overview": "#/",
        "measure": f"#/measure?network={uploaded['id']}",
        "graph": place,
        "layer": f"{place}/graph?by=saving&{LAYER}",
        "table": f"{place}/table",
        "front": f"{place}/front",
        "plans": f"{place}/plans",
        "plan": f"#/plans/{verified}",
        "jobs": "#/jobs",
        "job": f"#/jobs/{front['id']}",
    }


def shots(browser: Any, views: dict[str, str]) -> Iterator[None]:
    """Every view as it is looked at, in turn."""
    for dark in (False, True):
        theme = "dark" if dark else "light"
        for name, address in {**views, "beside": f"{views['table']}"}.items():
            for width in (1280, 400) if name != "beside" else (1280,):
                browser.look(width, dark)
                browser.open(address)
                if name == "beside":
                    beside = "const one = document.getElementById('beside'); one.selectedIndex = 1;"
                    told = "one.dispatchEvent(new Event('change'))"
                    browser.driver.execute_script(beside + told)
                    browser.one('.rows th[data-key="ratio"]')
                browser.until(lambda: browser.one("#main h1"))
                browser.driver.execute_async_script("setTimeout(arguments[0], 700)")
                browser.shoot(f"{name}-{width}-{theme}")
                browser.open("#/none")
                yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    from service.conftest import Running

    from service import browser_driver

    browser_driver.SHOTS = str(asked.folder)
    with tempfile.TemporaryDirectory() as folder:
        service = Running(Path(folder))
        try:
            views = filled(service)
            browser = browser_driver.Browser(Path(folder))
            browser.look(1280, dark=False)
            browser.driver.get(service.url)
            print(sum(1 for _ in shots(browser, views)), "pictures")
            browser.driver.quit()
        finally:
            service.stop()
    for file in asked.folder.glob("*.png"):
        Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)


if __name__ == "__main__":
    main()
