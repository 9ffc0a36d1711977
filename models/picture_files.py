"""Files of pictures: found, opened once, and decoded when they are looked at."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CalibrationError
from .preprocess import Image

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
OF_16_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow's names for pixels of 16 bits, whose white is 65535."""
UNKNOWN_WHITE = frozenset({"I", "F"})
"""Pixels of 32 bits, which say nothing of what white is."""
EIGHTH = 8
"""JPEG files are opened at this part of their size, which reads all of their data in a third of the
time."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, and the SHA-256 of the file it comes from. Decoded when it is looked at."""

    name: str
    sha256: str
    channels: int
    flat: bool = False
    """Whether it has one colour throughout."""

    @cached_property
    def pixels(self) -> Image:
        """Pixels (H, W, C). Raises `CalibrationError` if the file is damaged, or another by now."""
        return _decoded(self)


def load_pictures(path: str | Path, channels: int = 3) -> list[Picture]:
    """Return all pictures in a folder and below it, in natural order, each content once.

    Each is decoded once, so that no damaged one is found after hours. Raises `CalibrationError`
    if there is none, or one cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        raise CalibrationError(f"there is no folder of pictures {path}")
    files = [f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file()]
    files = [f for f in files if not f.name.startswith(".")]
    if not files:
        raise CalibrationError(f"there are no pictures in {path}")
    pictures: dict[str, Picture] = {}
    for file in sorted(files, key=lambda f: _natural(str(f.relative_to(path)))):
        picture = _read(file, channels)
        pictures.setdefault(picture.sha256, picture)
    return list(pictures.values())


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a sorting key in which 2 comes before 10."""
    parts = re.findall(r"\d+|\D+", text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _read(file: Path, channels: int) -> Picture:
    from PIL import Image as Pillow

    with _readable(file):
        data = file.read_bytes()
        Pillow.open(io.BytesIO(data)).verify()
        with Pillow.open(io.BytesIO(data)) as opened:
            _require_known_white(file, opened)
            opened.draft(None, (max(1, opened.width // EIGHTH), max(1, opened.height // EIGHTH)))
            flat = _flat(opened)
        if flat:  # maybe only so coarsely seen
            with Pillow.open(io.BytesIO(data)) as opened:
                flat = _flat(opened)
    return Picture(str(file), hashlib.sha256(data).hexdigest(), channels, flat)


def _require_known_white(file: Path, opened: Any) -> None:
    if opened.mode in UNKNOWN_WHITE:
        raise CalibrationError(
            f"{file} has pixels of 32 bits, which do not say what white is: "
            "write it with 8 or 16 bits, or give an .npz of ready tensors"
        )


def _flat(opened: Any) -> bool:
    """Whether all pixels are alike; decodes them."""
    extrema = opened.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(least == most for least, most in bands)


def _decoded(picture: Picture) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageOps

    with _readable(Path(picture.name)):
        data = Path(picture.name).read_bytes()
        with Pillow.open(io.BytesIO(data)) as opened:
            upright = ImageOps.exif_transpose(opened)
            pixels = _with_channels(upright, picture.channels)
    if hashlib.sha256(data).hexdigest() != picture.sha256:
        raise CalibrationError(f"{picture.name} has changed meanwhile: start again")
    return pixels


def _with_channels(opened: Any, channels: int) -> Image:
    """Pixels (H, W, channels) from 0 to 255."""
    if opened.mode in OF_16_BITS:  # which Pillow would clip at 255
        exact = np.asarray(opened).astype(np.float32) / 257
        return np.repeat(np.rint(exact).astype(np.uint8)[:, :, None], channels, axis=2)
    pixels = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
    return pixels[:, :, None] if channels == 1 else pixels


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    from PIL import Image as Pillow

    try:
        yield
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        # Pillow's readers raise all of these for damaged files.
        raise CalibrationError(f"{file} cannot be read as a picture") from error
