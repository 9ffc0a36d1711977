"""One picture of captioned panels: a photo, what networks make of it, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from demosaicking import BORDER, SIZE, ByteImage, FloatArray
from PIL import Image, ImageDraw, ImageFont

SIDE = 396
"""Width and height of a panel, in pixels."""
GAP = 20
TITLE_SIZE, CAPTION_SIZE = 26, 17
LINE = 24
CAPTION_LINES = 2
BACKGROUND, INK, FRAME = "white", "#222", "#ff3030"
AMPLIFIED = 10
"""Times that a difference is amplified: a hundredth of the brightness is hard to see."""
Corner: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture of any size, with at most `CAPTION_LINES` lines below it."""

    picture: Image.Image
    caption: Sequence[str]


def photo_panel(image: ByteImage, corner: Corner, caption: Sequence[str]) -> Panel:
    """A whole photo, with a frame around the square that the other panels show."""
    picture = Image.fromarray(image)
    top, left = corner[0] + BORDER, corner[1] + BORDER
    bottom, right = corner[0] + SIZE - BORDER, corner[1] + SIZE - BORDER
    width = max(2, min(picture.size) // 100)
    frame = (left - width, top - width, right + width - 1, bottom + width - 1)
    ImageDraw.Draw(picture).rectangle(frame, outline=FRAME, width=width)
    return Panel(picture, caption)


def output_panel(output: FloatArray, caption: Sequence[str]) -> Panel:
    """A square that a network restored, (3, SIZE, SIZE), without the border that is not judged."""
    return Panel(_picture(output), caption)


def difference_panel(output: FloatArray, original: FloatArray) -> Panel:
    """`AMPLIFIED` times the difference of two squares; grey where there is none."""
    caption = [f"difference from the original, times {AMPLIFIED}", "(grey: none)"]
    return Panel(_picture(0.5 + AMPLIFIED * (output - original)), caption)


def sheet(title: str, columns: Sequence[Sequence[Panel]]) -> Image.Image:
    """All panels under a title; every column has as many as the first."""
    height = SIDE + CAPTION_LINES * LINE + GAP
    top = GAP + TITLE_SIZE + GAP
    size = (GAP + len(columns) * (SIDE + GAP), top + len(columns[0]) * height)
    result = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(result)
    draw.text((GAP, GAP), title, INK, ImageFont.load_default(TITLE_SIZE))
    for column, panels in enumerate(columns):
        for row, panel in enumerate(panels):
            _draw(result, panel, GAP + column * (SIDE + GAP), top + row * height)
    return result


def _picture(values: FloatArray) -> Image.Image:
    inner = np.clip(values[:, BORDER:-BORDER, BORDER:-BORDER], 0, 1)
    return Image.fromarray(np.round(inner * 255).astype(np.uint8).transpose(1, 2, 0))


def _draw(result: Image.Image, panel: Panel, left: int, top: int) -> None:
    """Pixels of small pictures stay squares; large ones are made smaller, in their own shape."""
    small = panel.picture.width < SIDE and panel.picture.height < SIDE
    scale = SIDE / max(panel.picture.size)
    size = (round(panel.picture.width * scale), round(panel.picture.height * scale))
    how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    result.paste(panel.picture.resize(size, how), (left, top + SIDE - size[1]))
    font = ImageFont.load_default(CAPTION_SIZE)
    for number, text in enumerate(panel.caption):
        place = (left, top + SIDE + 6 + number * LINE)
        ImageDraw.Draw(result).text(place, text, INK, font)
