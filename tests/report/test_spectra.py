"""The picture of spectra: what is in it, read back."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rankwise.errors import UsageError
from rankwise.report.spectra import HEIGHT, WIDTH, Panel, write_picture

FALLING = list(np.geomspace(5.0, 1e-9, 40))
PANELS = [
    Panel("a<b&c", "svd", [FALLING], (8,)),
    Panel("conv" * 20, "tucker2", [FALLING, FALLING[:20]], (8, 4)),
    Panel("zero", "svd", [[0.0, 0.0]]),
    Panel("one", "svd", [[1.0]], (1,)),
    Panel("fifth", "svd", [FALLING]),
]
SVG = "{http://www.w3.org/2000/svg}"


def test_svg_has_a_curve_for_each_rank_and_a_mark_for_each_choice(tmp_path: Path) -> None:
    path = tmp_path / "s.svg"
    write_picture(PANELS, path)
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    assert (root.get("width"), root.get("height")) == (str(4 * WIDTH), str(2 * HEIGHT))
    lines = root.findall(f"{SVG}polyline")
    assert len(lines) == 5 + 6 + 4  # axes, curves, marks
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert "a<b&c" in texts
    assert "svd at rank 8" in texts
    assert "tucker2 at rank 8x4" in texts
    points = [tuple(map(float, p.split(","))) for p in lines[1].get("points", "").split()]
    assert len(points) == len(FALLING)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    heights = [y for _, y in points]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]


def test_png_is_a_picture_with_both_colours(tmp_path: Path) -> None:
    path = tmp_path / "s.png"
    write_picture(PANELS[:2], path)
    with Image.open(path) as image:
        assert image.size == (2 * 2 * WIDTH, 2 * HEIGHT)
        colours = {colour for _, colour in image.getcolors(1 << 20)}
    assert {(0x1F, 0x6F, 0xB2), (0xC2, 0x57, 0x1A), (255, 255, 255)} <= colours


@pytest.mark.parametrize(
    ("panels", "name", "words"),
    [
        (PANELS, "s.jpg", ".svg or .png, not s.jpg"),
        ([], "s.svg", "no layer whose spectrum"),
        (PANELS, "nowhere/s.svg", "cannot be written: No such file"),
        (PANELS, "nowhere/s.png", "cannot be written: No such file"),
    ],
)
def test_refusals(tmp_path: Path, panels: list[Panel], name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        write_picture(panels, tmp_path / name)
