"""One picture of captioned panels: a photo, what networks make of it, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from demosaicking import BORDER, SIZE, ByteImage, FloatArray
from PIL import Image, ImageDraw

from rankwise.report.pictures.figure import Picture, in_style
from rankwise.report.pictures.style import SMALL_PT, TWO_COLUMNS

CAPTION_IN = 0.35
"""Height of the two lines below a panel, in inches."""
FRAME = "#ff3030"
AMPLIFIED = 10
"""Times that a difference is amplified: a hundredth of the brightness is hard to see."""
Corner: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture of any size, with at most two lines below it."""

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


@in_style()
def sheet(title: str, columns: Sequence[Sequence[Panel]]) -> Picture:
    """All panels under a title; every column has as many as the first."""
    rows = len(columns[0])
    height = rows * (TWO_COLUMNS / len(columns) + CAPTION_IN) + CAPTION_IN
    picture = Picture(title, TWO_COLUMNS, height, rows, len(columns))
    panels = [column[row] for row in range(rows) for column in columns]
    for place, panel in zip(picture.panels, panels, strict=True):
        small = max(panel.picture.size) <= SIZE  # its pixels stay squares
        place.imshow(panel.picture, interpolation="nearest" if small else "antialiased")
        place.set_xlabel("\n".join(panel.caption), fontsize=SMALL_PT, loc="left")
        place.set(xticks=[], yticks=[], anchor="S")
        place.spines[:].set_visible(False)
    return picture


def _picture(values: FloatArray) -> Image.Image:
    inner = np.clip(values[:, BORDER:-BORDER, BORDER:-BORDER], 0, 1)
    return Image.fromarray(np.round(inner * 255).astype(np.uint8).transpose(1, 2, 0))
