"""Calibration pictures: read, split by picture, made into examples."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from ..records import canonical_json
from .preprocess import Image, Preprocess, Shape, channels_last, find_preprocess
from .splits import Split, SplitName, SplitRule

FloatArray = NDArray[np.float32]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
READY = "none"
"""Name of the preprocessing of an `.npz`: its tensors are ready."""
ARRAY_NAMES = ("inputs", "images", "x", "arr_0")

FIT_EXAMPLES = 128
SELECT_EXAMPLES = 32
"""Examples that random crops and flips bring a small split up to. A dozen plain photos overfit:
factors and sensitivities made from them promise half of the error that held-out photos show."""

REPORT_EXAMPLES = 32
"""The same for the confirm and the report split, but only where pictures are not resized: one
window in the middle says little about a large photo, while one that is resized is seen whole."""

MIN_SCALE = 0.6
"""Shortest side of a random crop, as a share of the picture's."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, and the SHA-256 of the file it comes from. Decoded when it is looked at."""

    name: str
    sha256: str
    channels: int

    @cached_property
    def pixels(self) -> Image:
        """Pixels (H, W, C). Raises `CalibrationError` if the file is damaged, or another by now."""
        return _decoded(self)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Examples of each split, (n, *input_shape[1:]) in float32, made when they are asked for.

    `sha256` names the pictures' content, the preprocessing, the crops and the split. A split may
    hold several crops of a picture, which stand together: `examples` says how many it has.
    `pictures` are the names of all, whose indices the split has. Ready tensors have neither
    `photos` nor a `recipe`.
    """

    sha256: str
    pictures: Sequence[str]
    preprocess: str
    split: Split
    examples: Mapping[SplitName, int]
    make: Callable[[SplitName], FloatArray]
    photos: Sequence[Picture] = ()
    recipe: Preprocess | None = None

    @property
    def images(self) -> int:
        """How many pictures there are."""
        return len(self.pictures)

    def names(self, split: SplitName) -> list[str]:
        """Return the names of a split's pictures, in the order in which its examples come."""
        return [Path(self.pictures[index]).name for index in self.split.indices(split)]

    @cached_property
    def fit(self) -> FloatArray:
        return self.make("fit")

    @cached_property
    def select(self) -> FloatArray:
        return self.make("select")

    @cached_property
    def confirm(self) -> FloatArray:
        """Empty where there are only three pictures."""
        return self.make("confirm")

    @cached_property
    def report(self) -> FloatArray:
        return self.make("report")


def load_calibration(
    path: str | Path,
    preprocess: str | None,
    input_shape: Sequence[int],
    *,
    crops: int | None = None,
    seed: int = 0,
    confirm: bool = True,
) -> Calibration:
    """Load pictures from a folder, or ready tensors from an `.npz`.

    `input_shape` is the network's, batch included. `crops`: examples made of each picture of
    the fit and select splits, the whole picture first, then random crops and flips; by default
    as many as small splits need. The confirm and report splits are plain pictures, or windows of
    them where the preprocessing does not resize. `seed` decides over split and crops. Without
    `confirm` there is no such split, as in plans that were made before there was one. Raises
    `CalibrationError` with one sentence.
    """
    path, shape = Path(path), tuple(input_shape[1:])
    rule = SplitRule(seed, confirm)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, preprocess, shape, rule)
    if not preprocess or preprocess == READY:
        raise CalibrationError(
            "say how pictures become the network's input: --preprocess imagenet, caffe-bgr, unit, "
            "a .toml file, or package.module:callable"
        )
    recipe = find_preprocess(preprocess, shape)
    pictures = load_pictures(path, channels_of(shape))
    return _examples(pictures, recipe, shape, crops, rule)


def channels_of(shape: Shape) -> int:
    """Return how many channels the pictures for an input of that shape have: 1 or 3."""
    return 1 if (shape[-1] if channels_last(shape) else shape[0]) == 1 else 3


def load_pictures(path: str | Path, channels: int = 3) -> list[Picture]:
    """Return all pictures in a folder and below it, in natural order, each content once.

    Raises `CalibrationError` if there is none, or one is plainly no picture; one that is damaged
    further on is noticed when it is decoded.
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
    return Picture(str(file), hashlib.sha256(data).hexdigest(), channels)


def _decoded(picture: Picture) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageOps

    with _readable(Path(picture.name)):
        data = Path(picture.name).read_bytes()
        with Pillow.open(io.BytesIO(data)) as opened:
            upright = ImageOps.exif_transpose(opened)
            pixels = np.asarray(upright.convert("L" if picture.channels == 1 else "RGB"))
    if hashlib.sha256(data).hexdigest() != picture.sha256:
        raise CalibrationError(f"{picture.name} has changed meanwhile: start again")
    return pixels[:, :, None] if picture.channels == 1 else pixels


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    from PIL import Image as Pillow

    try:
        yield
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        # Pillow's readers raise all of these for damaged files.
        raise CalibrationError(f"{file} cannot be read as a picture") from error


def _examples(
    pictures: Sequence[Picture],
    recipe: Preprocess,
    shape: Shape,
    crops: int | None,
    rule: SplitRule,
) -> Calibration:
    split = rule.split([picture.sha256 for picture in pictures])
    wanted = {name: _crops(name, len(split.indices(name)), recipe, crops) for name in rule.names}

    def make(name: SplitName) -> FloatArray:
        chosen = [pictures[index] for index in split.indices(name)]
        made = (_of_picture(p, recipe, shape, wanted[name], rule.seed) for p in chosen)
        together = [example for of_one in made for example in of_one]
        return np.stack(together) if together else np.zeros((0, *shape), np.float32)

    return Calibration(
        _hash([p.sha256 for p in pictures], recipe.settings, shape, {**wanted, "seed": rule.seed}),
        [picture.name for picture in pictures],
        recipe.name,
        split,
        {name: each * len(split.indices(name)) for name, each in wanted.items()},
        make,
        pictures,
        recipe,
    )


def _crops(name: SplitName, pictures: int, recipe: Preprocess, crops: int | None) -> int:
    """Return how many examples are made of each of a split's pictures."""
    if name in ("confirm", "report"):
        return 1 if recipe.resizes else math.ceil(REPORT_EXAMPLES / max(pictures, 1))
    return crops or math.ceil((FIT_EXAMPLES if name == "fit" else SELECT_EXAMPLES) / pictures)


def _hash(contents: Sequence[str], settings: dict[str, Any], shape: Shape, crops: Any) -> str:
    named = [sorted(contents), settings, list(shape), crops]
    return hashlib.sha256(canonical_json(named).encode()).hexdigest()


def _of_picture(
    picture: Picture, recipe: Preprocess, shape: Shape, count: int, seed: int
) -> Iterator[FloatArray]:
    """Yield the example of the whole picture, then those of random crops."""
    rng = np.random.default_rng([seed, int(picture.sha256[:16], 16)])
    least = _least_size(picture.pixels, recipe, shape)
    try:
        yield recipe(picture.pixels, shape)
        for _ in range(count - 1):
            yield recipe(_random_crop(picture.pixels, least, rng), shape)
    except CalibrationError as error:
        raise CalibrationError(f"{picture.name}: {error}") from error


def _least_size(pixels: Image, recipe: Preprocess, shape: Shape) -> tuple[int, int]:
    """Return the smallest crop: a share of the picture, or the input where nothing is resized."""
    if not recipe.resizes:
        height, width = shape[:2] if channels_last(shape) else shape[1:]
        return height, width
    return math.ceil(pixels.shape[0] * MIN_SCALE), math.ceil(pixels.shape[1] * MIN_SCALE)


def _random_crop(pixels: Image, least: tuple[int, int], rng: np.random.Generator) -> Image:
    """Return a window of a random size that keeps the picture's proportions."""
    share = rng.uniform()
    height, width = (
        round(low + share * (full - low)) for low, full in zip(least, pixels.shape[:2], strict=True)
    )
    return random_window(pixels, height, width, rng)


def random_window(pixels: Image, height: int, width: int, rng: np.random.Generator) -> Image:
    """Return a window of that size anywhere in the picture, mirrored half the time."""
    top = rng.integers(pixels.shape[0] - height + 1)
    left = rng.integers(pixels.shape[1] - width + 1)
    window = pixels[top : top + height, left : left + width]
    return np.ascontiguousarray(window[:, ::-1] if rng.integers(2) else window)


def _from_npz(path: Path, preprocess: str | None, shape: Shape, rule: SplitRule) -> Calibration:
    if preprocess not in (None, "", READY):
        raise CalibrationError(f"{path} holds ready tensors: leave --preprocess out")
    rows = _npz_rows(path)
    if rows.shape[1:] != shape:
        raise CalibrationError(
            f"{path} holds tensors of shape {rows.shape[1:]}, but the network takes {shape}"
        )
    hashes = [hashlib.sha256(row.tobytes()).hexdigest() for row in rows]
    different = list({digest: index for index, digest in reversed(list(enumerate(hashes)))}.items())
    rows = rows[[index for _, index in different]]
    split = rule.split([digest for digest, _ in different])
    named = {"confirm": True, "seed": rule.seed} if rule.confirm else {}
    return Calibration(
        _hash([digest for digest, _ in different], {}, shape, named),
        [f"row {index}" for _, index in different],
        READY,
        split,
        {name: len(split.indices(name)) for name in rule.names},
        lambda name: rows[list(split.indices(name))],
    )


def _npz_rows(path: Path) -> FloatArray:
    """Return the only array of the file, or the one with a usual name, as float32."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            rows = np.asarray(arrays[_array_name(path, arrays.files)], dtype=np.float32)
    except CalibrationError:
        raise
    except Exception as error:
        # NumPy raises what zipfile, zlib and its own reader raise.
        raise CalibrationError(f"{path} cannot be read as an .npz of plain arrays") from error
    if rows.ndim < 1 or not np.isfinite(rows).all():
        raise CalibrationError(f"{path} holds values that are not finite")
    return rows


def _array_name(path: Path, names: Sequence[str]) -> str:
    usual = [name for name in ARRAY_NAMES if name in names] or names
    if not usual or (len(names) > 1 and usual is names):
        raise CalibrationError(f"{path} should hold one array, or one named {ARRAY_NAMES[0]}")
    return usual[0]
