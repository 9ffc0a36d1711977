"""A picture of singular values: one panel a layer, as SVG or PNG, drawn by hand.

A plotting library would be a dependency of everybody for the sake of one picture of lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from xml.sax.saxutils import escape

from ..errors import UsageError

WIDTH, HEIGHT = 260, 170
"""Size of a panel in pixels; the plot lies inside the margins."""
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 36, 22
COLUMNS = 4
DECADES = 4
"""Singular values from the largest down to 10^-4 of it; those below lie on the axis."""
COLOURS = ("#1f6fb2", "#c2571a")

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One layer. `curves` are singular values, falling, one curve for each rank of the kind;
    `ranks` the chosen ranks in the same order, or none."""

    layer: str
    kind: str
    curves: Sequence[Sequence[float]]
    ranks: Sequence[int] = ()


class Canvas(Protocol):
    """What a panel is drawn on."""

    def line(self, points: Sequence[Point], colour: str, width: float) -> None: ...
    def text(self, at: Point, words: str, colour: str) -> None: ...
    def save(self, path: Path) -> None: ...


def write_picture(panels: Sequence[Panel], path: Path) -> None:
    """Write a picture as .svg or .png, by its suffix. Raises `UsageError` for another one, for a
    picture without a panel, and where the file cannot be written."""
    kinds: dict[str, Callable[[int, int], Canvas]] = {".svg": SvgCanvas, ".png": PngCanvas}
    if path.suffix not in kinds:
        raise UsageError(f"a picture of spectra is .svg or .png, not {path.name}")
    if not panels:
        raise UsageError("there is no layer whose spectrum could be drawn")
    rows = math.ceil(len(panels) / COLUMNS)
    canvas = kinds[path.suffix](min(len(panels), COLUMNS) * WIDTH, rows * HEIGHT)
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        _draw(canvas, panel, column * WIDTH, row * HEIGHT)
    try:
        canvas.save(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _draw(canvas: Canvas, panel: Panel, x0: float, y0: float) -> None:
    left, right = x0 + LEFT, x0 + WIDTH - RIGHT
    top, bottom = y0 + TOP, y0 + HEIGHT - BOTTOM
    canvas.text((x0 + 6, y0 + 4), _short(panel.layer), "#111111")
    ranks = "" if not panel.ranks else " at rank " + "x".join(map(str, panel.ranks))
    canvas.text((x0 + 6, y0 + 16), panel.kind + ranks, "#555555")
    canvas.line([(left, top), (left, bottom), (right, bottom)], "#888888", 1)
    for decade in range(0, DECADES + 1, 2):
        height = top + (bottom - top) * decade / DECADES
        canvas.text((x0 + 4, height - 6), "1" if not decade else f"1e-{decade}", "#888888")
    most = max(len(curve) for curve in panel.curves)
    canvas.text((right - 8 * len(str(most)), bottom + 4), str(most), "#888888")

    def place(index: float, share: float) -> Point:
        height = min(-math.log10(share), DECADES) if share > 0 else DECADES
        return (
            left + (right - left) * index / max(most, 1),
            top + (bottom - top) * height / DECADES,
        )

    for number, curve in enumerate(panel.curves):
        colour = COLOURS[number % len(COLOURS)]
        largest = max(curve[0], 1e-300)
        canvas.line([place(i + 1, v / largest) for i, v in enumerate(curve)], colour, 1.5)
        if number < len(panel.ranks):
            x, _ = place(min(panel.ranks[number], most), 1.0)
            canvas.line([(x, top), (x, bottom)], colour, 0.8)


def _short(name: str, most: int = 38) -> str:
    return name if len(name) <= most else "..." + name[3 - most :]


class SvgCanvas:
    """A canvas that is saved as SVG."""

    def __init__(self, width: int, height: int) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="10">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]

    def line(self, points: Sequence[Point], colour: str, width: float) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )

    def text(self, at: Point, words: str, colour: str) -> None:
        x, y = at
        self.parts.append(
            f'<text x="{x:.1f}" y="{y + 10:.1f}" fill="{colour}">{escape(words)}</text>'
        )

    def save(self, path: Path) -> None:
        path.write_text("\n".join([*self.parts, "</svg>", ""]), encoding="utf-8")


class PngCanvas:
    """A canvas that is saved as PNG, at twice the size, so that lines are not ragged."""

    SCALE = 2

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw, ImageFont

        self.image = Image.new("RGB", (self.SCALE * width, self.SCALE * height), "#ffffff")
        self.pen = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(size=10 * self.SCALE)

    def line(self, points: Sequence[Point], colour: str, width: float) -> None:
        scaled = [(self.SCALE * x, self.SCALE * y) for x, y in points]
        self.pen.line(scaled, fill=colour, width=max(1, round(self.SCALE * width)))

    def text(self, at: Point, words: str, colour: str) -> None:
        x, y = at
        self.pen.text((self.SCALE * x, self.SCALE * y), words, fill=colour, font=self.font)

    def save(self, path: Path) -> None:
        self.image.save(path)
